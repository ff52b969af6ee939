//! Questions on the terminal. Each has an option, so that a script can answer it.

use std::io::{BufRead, Write};

use anyhow::Context as _;

use crate::cli::shared::scope::usage_error;

/// Asks questions, if there is somebody to answer.
pub(super) struct Prompts<R, W> {
    /// Where answers come from; `None` if nobody is asked.
    input: Option<R>,
    out: W,
}

/// A question.
pub(super) struct Question<'a> {
    /// The option that answers it, as in `--area`.
    pub(super) option: &'static str,
    /// The text.
    pub(super) text: &'a str,
    /// The answer that an empty line stands for.
    pub(super) default: Option<&'a str>,
}

impl<R: BufRead, W: Write> Prompts<R, W> {
    pub(super) fn new(input: Option<R>, out: W) -> Self {
        Self { input, out }
    }

    /// Returns the answer: of the option, of the person, or the default. A wrong answer is asked for again.
    pub(super) fn answer<T>(
        &mut self,
        given: Option<&str>,
        question: &Question<'_>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> anyhow::Result<T> {
        let option = question.option;
        if let Some(given) = given {
            return parse(given.trim()).map_err(|fault| usage_error(format!("{option}: {fault}")));
        }
        let Some(input) = &mut self.input else {
            let answer = question.default.ok_or_else(|| usage_error(format!("{option} is missing")))?;
            return parse(answer).map_err(|fault| usage_error(format!("{option}: {fault}")));
        };
        loop {
            let default = question.default.map(|default| format!(" [{default}]")).unwrap_or_default();
            write!(self.out, "{}{default}: ", question.text)?;
            self.out.flush()?;
            let mut line = String::new();
            if input.read_line(&mut line).context("standard input cannot be read")? == 0 {
                return Err(usage_error(format!("the input ended before the answer; {option} gives it too")));
            }
            let parsed = match (line.trim(), question.default) {
                ("", None) => Err("an answer is needed".to_owned()),
                ("", Some(default)) => parse(default),
                (line, _) => parse(line),
            };
            match parsed {
                Ok(answer) => return Ok(answer),
                Err(fault) => writeln!(self.out, "  {fault}")?,
            }
        }
    }

    /// Asks for yes or no. Returns true if nobody is asked, or for an empty line.
    pub(super) fn confirm(&mut self, text: &str) -> anyhow::Result<bool> {
        if self.input.is_none() {
            return Ok(true);
        }
        let question = Question { option: "--yes", text, default: Some("yes") };
        self.answer(None, &question, |answer| match answer.to_lowercase().as_str() {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            _ => Err("yes or no".to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<u32, String> {
        text.parse().map_err(|_| "must be a number".to_owned())
    }

    fn ask(input: Option<&str>, given: Option<&str>, default: Option<&str>) -> (Result<u32, String>, String) {
        let mut prompts = Prompts::new(input.map(str::as_bytes), Vec::new());
        let question = Question { option: "--size", text: "Size", default };
        let answer = prompts.answer(given, &question, number).map_err(|error| error.to_string());
        (answer, String::from_utf8(prompts.out).expect("text"))
    }

    #[test]
    fn an_option_is_not_asked_for_and_a_wrong_answer_is_asked_for_again() {
        assert_eq!(ask(Some("7\n"), Some("8"), None), (Ok(8), String::new()));
        let (answer, shown) = ask(Some("many\n\n9\n"), None, None);
        assert_eq!(answer, Ok(9));
        assert_eq!(shown, "Size:   must be a number\nSize:   an answer is needed\nSize: ");
        assert_eq!(ask(Some("\n"), None, Some("5")), (Ok(5), "Size [5]: ".to_owned()));
    }

    #[test]
    fn a_missing_answer_names_the_option_if_nobody_is_asked() {
        assert_eq!(ask(None, None, None).0, Err("--size is missing".to_owned()));
        assert_eq!(ask(None, None, Some("5")).0, Ok(5));
        assert_eq!(ask(None, Some("x"), None).0, Err("--size: must be a number".to_owned()));
        assert!(ask(Some(""), None, None).0.is_err_and(|error| error.contains("--size")));
    }
}
