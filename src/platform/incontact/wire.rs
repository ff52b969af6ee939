//! The answers of the published services. Their field names differ between versions in case and place, and numbers also
//! come as text, so names are compared without regard to case and values are converted.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::domain::time::UtcMicros;
use crate::platform::text;

/// Parses an instant: RFC 3339, or without an offset, which then is UTC.
pub(super) fn parse_instant(text: &str) -> Option<UtcMicros> {
    let text = text.trim();
    text.parse().ok().or_else(|| format!("{text}Z").parse().ok())
}

/// A value that is no list and no object.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) enum Scalar<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// A number without a fraction.
    Integer(i64),
    /// A number with a fraction.
    Fraction(f64),
    /// True or false.
    Flag(bool),
    /// `null`, or no value at all.
    #[default]
    Null,
    /// A number that is too large, a list or an object.
    Other,
}

impl Scalar<'_> {
    /// Returns a whole number, also if it is written as text.
    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Fraction(_) | Self::Flag(_) | Self::Null | Self::Other => None,
        }
    }

    /// Returns a number, also if it is written as text.
    #[expect(clippy::cast_precision_loss, reason = "figures are far below 2⁵³")]
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Fraction(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Flag(_) | Self::Null | Self::Other => None,
        }
    }

    /// Returns a flag, also if it is written as text or as a number.
    pub(super) fn flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            Self::Integer(number @ (0 | 1)) => Some(*number == 1),
            Self::Integer(_) | Self::Fraction(_) | Self::Text(_) | Self::Null | Self::Other => None,
        }
    }

    /// Returns text that is not empty.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            Self::Integer(_) | Self::Fraction(_) | Self::Flag(_) | Self::Null | Self::Other => None,
        }
    }

    /// Returns an id, which is a number or text.
    pub(super) fn id(&self) -> Option<String> {
        match self {
            Self::Integer(number) => Some(number.to_string()),
            Self::Text(_) => self.text().map(str::to_owned),
            Self::Fraction(_) | Self::Flag(_) | Self::Null | Self::Other => None,
        }
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
                Ok(Scalar::Flag(flag))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Scalar::Integer(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(i64::try_from(number).map_or(Scalar::Other, Scalar::Integer))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Scalar::Fraction(number))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Scalar::Null)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// Declares a struct of scalars that is read from an object. Names are compared without regard to case, other fields are
/// skipped, and a value that is no object is read as `None` by [`Item`].
macro_rules! scalars {
    ($(#[$about:meta])* $name:ident { $($field:ident: $($wire:literal)|+),* $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, PartialEq, Debug, Default)]
        pub(super) struct $name<'a> {
            $(pub(super) $field: Scalar<'a>,)*
        }

        impl<'de> Record<'de> for $name<'de> {
            fn set<A: MapAccess<'de>>(&mut self, name: &str, fields: &mut A) -> Result<(), A::Error> {
                $(if $(name.eq_ignore_ascii_case($wire))||+ {
                    self.$field = fields.next_value()?;
                    return Ok(());
                })*
                fields.next_value::<IgnoredAny>().map(drop)
            }
        }
    };
}

scalars! {
    /// A row of `agentStates`.
    StateRow {
        agent_id: "agentId",
        state_id: "agentStateId",
        state_name: "agentStateName",
        is_acw: "isACW",
        contact_id: "contactId",
        open_contacts: "openContacts",
        out_state_id: "outStateId",
        out_state: "outStateDescription",
        skill_name: "skillName",
        start_date: "startDate",
        updated_at: "lastUpdateTime",
        polled_at: "lastPollTime",
        team_id: "teamId",
        team_name: "teamName",
        first_name: "firstName",
        last_name: "lastName",
        business_unit: "businessUnitId",
    }
}

scalars! {
    /// A row of `agentStateHistory`, which does not say what is after-contact work.
    HistoryRow {
        index: "stateIndex",
        session: "agentSessionId",
        agent_id: "agentId",
        state_id: "agentStateId",
        state_name: "agentStateName",
        out_state_id: "outStateId",
        out_state: "outStateDescription",
        start_date: "startDate",
        team_id: "teamId",
    }
}

scalars! {
    /// A row of `agents`.
    AgentRow {
        agent_id: "agentId",
        user_id: "userId",
        user_name: "userName",
        first_name: "firstName",
        last_name: "lastName",
        team_name: "teamName",
        time_zone: "timeZone",
        is_active: "isActive",
    }
}

scalars! {
    /// A row of `teams`.
    TeamRow {
        team_id: "teamId",
        name: "teamName",
        is_active: "isActive",
    }
}

scalars! {
    /// A row of `unavailableCodes`.
    CodeRow {
        code: "outStateId" | "id",
        name: "outStateName" | "name",
        is_active: "isActive",
        is_acw: "isAcw",
        timeout: "agentTimeoutMins" | "agentTimeout",
    }
}

scalars! {
    /// A row of `skillActivity`.
    SkillRow {
        skill_id: "skillId",
        name: "skillName",
        is_active: "isActive",
        queued: "queueCount",
        active: "contactsActive",
        earliest: "earliestQueueTime",
        server_time: "serverTime",
        service_level: "serviceLevel",
        available: "agentsAvailable",
        logged_in: "agentsLoggedIn",
        working: "agentsWorking",
        in_acw: "agentsACW",
    }
}

/// A struct that is filled field by field.
pub(super) trait Record<'de>: Default {
    /// Reads the value of a field, or skips it.
    fn set<A: MapAccess<'de>>(&mut self, name: &str, fields: &mut A) -> Result<(), A::Error>;
}

/// An element of a list: a record, or something else.
pub(super) struct Item<T>(pub(super) Option<T>);

impl<'de, T: Record<'de>> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemVisitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Record<'de>> Visitor<'de> for ItemVisitor<T> {
            type Value = Item<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
                let mut record = T::default();
                while let Some(name) = fields.next_key::<Cow<'de, str>>()? {
                    record.set(&name, &mut fields)?;
                }
                Ok(Item(Some(record)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Item(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Item(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Item(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Item(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Item(None))
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Item(None))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Item(None))
            }
        }
        deserializer.deserialize_any(ItemVisitor(std::marker::PhantomData))
    }
}

/// A row of a list, and the names that the list has in an answer.
pub(super) trait Row<'de>: Record<'de> {
    /// The names of the list.
    const LISTS: &'static [&'static str];
}

impl<'de> Row<'de> for StateRow<'de> {
    const LISTS: &'static [&'static str] = &["agentStates"];
}

impl<'de> Row<'de> for HistoryRow<'de> {
    const LISTS: &'static [&'static str] = &["agentStateHistory"];
}

impl<'de> Row<'de> for AgentRow<'de> {
    const LISTS: &'static [&'static str] = &["agents"];
}

impl<'de> Row<'de> for TeamRow<'de> {
    const LISTS: &'static [&'static str] = &["teams"];
}

impl<'de> Row<'de> for CodeRow<'de> {
    const LISTS: &'static [&'static str] = &["unavailableCodes"];
}

impl<'de> Row<'de> for SkillRow<'de> {
    const LISTS: &'static [&'static str] = &["skillActivity"];
}

/// A page of a list.
pub(super) struct Page<'a, R> {
    /// The rows; `None` for one that is no object.
    pub(super) rows: Option<Vec<Item<R>>>,
    /// The number of rows on all pages.
    pub(super) total: Scalar<'a>,
    /// The number of agents whom the platform does not show.
    pub(super) hidden: Scalar<'a>,
    /// The instant to ask from next time.
    pub(super) last_poll_time: Scalar<'a>,
    /// Whether the answer is wrapped in `resultSet`.
    pub(super) is_wrapped: bool,
}

impl<R> Default for Page<'_, R> {
    fn default() -> Self {
        Self { rows: None, total: Scalar::Null, hidden: Scalar::Null, last_poll_time: Scalar::Null, is_wrapped: false }
    }
}

impl<'de, R: Row<'de>> Record<'de> for Page<'de, R> {
    fn set<A: MapAccess<'de>>(&mut self, name: &str, fields: &mut A) -> Result<(), A::Error> {
        if R::LISTS.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            self.rows = fields.next_value()?;
        } else if name.eq_ignore_ascii_case("totalRecords") {
            self.total = fields.next_value()?;
        } else if name.eq_ignore_ascii_case("hiddenAgents") {
            self.hidden = fields.next_value()?;
        } else if name.eq_ignore_ascii_case("lastPollTime") {
            self.last_poll_time = fields.next_value()?;
        } else if name.eq_ignore_ascii_case("resultSet") {
            // Older versions put everything into it.
            self.is_wrapped = true;
            if let Item(Some(inner)) = fields.next_value::<Item<Self>>()? {
                self.rows = self.rows.take().or(inner.rows);
                for (outer, inner) in [
                    (&mut self.total, inner.total),
                    (&mut self.hidden, inner.hidden),
                    (&mut self.last_poll_time, inner.last_poll_time),
                ] {
                    if *outer == Scalar::Null {
                        *outer = inner;
                    }
                }
            }
        } else {
            fields.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// Parses a page. Texts with half a surrogate pair are repaired into `repaired`, so that one name does not cost the page.
/// Returns `None` if the body is something else.
pub(super) fn parse_page<'a, R: Row<'a>>(body: &'a [u8], repaired: &'a mut String) -> Option<Page<'a, R>> {
    let page: Item<Page<'a, R>> = if let Ok(page) = serde_json::from_slice(body) {
        page
    } else {
        *repaired = text::repair(body)?;
        serde_json::from_str(repaired).ok()?
    };
    page.0.filter(|page| page.rows.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(json: &str) -> Page<'_, StateRow<'_>> {
        serde_json::from_str::<Item<Page<'_, StateRow<'_>>>>(json).expect("JSON").0.expect("an object")
    }

    #[test]
    fn fields_are_found_in_any_case_and_place_and_numbers_may_be_text() {
        for json in [
            r#"{"totalRecords": 1, "lastPollTime": "t", "agentStates": [{"agentId": 7, "isACW": false, "outStateId": 12}]}"#,
            r#"{"resultSet": {"TotalRecords": "1", "lastpolltime": "t", "AgentStates": [
                {"AgentID": "7", "isAcw": "False", "OutStateId": "12", "new": {"a": [1]}, "contactId": null}]}}"#,
        ] {
            let page = page(json);
            assert_eq!((page.total.integer(), page.last_poll_time.text()), (Some(1), Some("t")), "{json}");
            let rows = page.rows.expect("rows");
            let row = rows[0].0.as_ref().expect("a row");
            assert_eq!(row.agent_id.id().as_deref(), Some("7"));
            assert_eq!((row.is_acw.flag(), row.out_state_id.integer()), (Some(false), Some(12)));
        }
    }

    #[test]
    fn a_row_that_is_no_object_costs_only_itself() {
        let page = page(r#"{"agentStates": [1, "x", null, [{}], true, 1.5, -3, {"agentId": 2.5}, {"agentId": [2]}]}"#);
        let rows = page.rows.expect("rows");
        assert_eq!(rows.iter().filter(|row| row.0.is_none()).count(), 7);
        assert!(rows.iter().flat_map(|row| &row.0).all(|row| row.agent_id.id().is_none()));
    }
}
