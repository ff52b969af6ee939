//! What a person states about a file whose profile is proposed: `--answer KEY=VALUE`.

/// Parses `KEY=VALUE`: a key below the profile, and a value in TOML or a bare text.
pub(super) fn parse_answer(text: &str) -> Result<(Vec<String>, toml::Value), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, as in time_zone=Europe/Berlin")?;
    let (key, value) = (key.trim(), value.trim());
    let bare = || toml::Value::from(value);
    let value = format!("value = {value}").parse::<toml::Table>().ok().and_then(|mut table| table.remove("value"));
    let value = value.unwrap_or_else(bare);
    let mut table: toml::Table =
        format!("{key} = 0").parse().map_err(|_| "the key is not one of a profile".to_owned())?;
    let mut path = Vec::new();
    while let Some((part, inner)) = table.into_iter().next() {
        path.push(part);
        table = inner.as_table().cloned().unwrap_or_default();
    }
    if path.len() > 2 {
        return Err("the key has too many parts; write it as it follows the profile's name".to_owned());
    }
    Ok((path, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedules::import::profile::detect::inline;

    #[test]
    fn answers_are_values_of_toml_or_bare_texts() {
        let parsed = |text: &str| parse_answer(text).map(|(path, value)| (path.join("/"), inline(&value)));
        for (text, path, value) in [
            ("time_zone=Europe/Berlin", "time_zone", "\"Europe/Berlin\""),
            ("year=2026", "year", "2026"),
            ("off = [\"OFF\", \"\"]", "off", "[\"OFF\", \"\"]"),
            (
                "activities.\"Team Talk\"={ activity = \"meeting\" }",
                "activities/Team Talk",
                "{ activity = \"meeting\" }",
            ),
        ] {
            assert_eq!(parsed(text), Ok((path.to_owned(), value.to_owned())));
        }
        assert!(parsed("time_zone").is_err() && parsed("a b=1").is_err() && parsed("a.b.c=1").is_err());
    }
}
