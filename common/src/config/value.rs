//! How a typed option is read from text and shown as text.
use std::collections::BTreeMap;
use std::time::Duration;

use super::duration::{format_duration, parse_duration};
use super::list;
use super::memory_size::{MemorySize, parse_memory_size};

/// A type that an option can have.
pub trait ConfigValue: Sized {
    /// Reads a value. The error says what was expected, as in "expected a port".
    fn parse(text: &str) -> Result<Self, String>;
    /// The value as it would be written in a configuration.
    fn show(&self) -> String;
    /// Reads a value from the keys below an option's key, for types that may be written as nested keys.
    fn from_nested(_nested: BTreeMap<String, String>) -> Option<Self> {
        None
    }
}

impl ConfigValue for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl ConfigValue for bool {
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            t if t.eq_ignore_ascii_case("true") => Ok(true),
            t if t.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err("expected `true` or `false`".to_owned()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_number {
    ($($type:ty),*) => {$(
        impl ConfigValue for $type {
            fn parse(text: &str) -> Result<Self, String> {
                let number = text.trim();
                number.parse().map_err(|_| format!("expected a whole number from {} to {}", <$type>::MIN, <$type>::MAX))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
whole_number!(i32, i64, u16, u32, u64, usize);

macro_rules! number {
    ($($type:ty),*) => {$(
        impl ConfigValue for $type {
            fn parse(text: &str) -> Result<Self, String> {
                let number = text.trim().parse::<$type>().ok().filter(|number| number.is_finite());
                number.ok_or_else(|| "expected a number such as `0.1`".to_owned())
            }

            fn show(&self) -> String {
                format!("{self:?}")
            }
        }
    )*};
}
number!(f32, f64);

impl ConfigValue for Duration {
    fn parse(text: &str) -> Result<Self, String> {
        parse_duration(text)
    }

    fn show(&self) -> String {
        format_duration(*self)
    }
}

impl ConfigValue for MemorySize {
    fn parse(text: &str) -> Result<Self, String> {
        parse_memory_size(text)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Lists: `a;b`, with quotes around what holds a semicolon, or a YAML list.
impl<T: ConfigValue> ConfigValue for Vec<T> {
    fn parse(text: &str) -> Result<Self, String> {
        list::split_list(text)?.iter().map(|item| T::parse(item)).collect()
    }

    fn show(&self) -> String {
        self.iter().map(|item| list::quoted(&item.show())).collect::<Vec<_>>().join(";")
    }
}

/// Maps: `k:v,k:v`, a YAML map, or keys nested below the option's.
impl ConfigValue for BTreeMap<String, String> {
    fn parse(text: &str) -> Result<Self, String> {
        list::split_map(text)
    }

    fn show(&self) -> String {
        let pair = |(key, value): (&String, &String)| format!("{}:{}", list::quoted(key), list::quoted(value));
        self.iter().map(pair).collect::<Vec<_>>().join(",")
    }

    fn from_nested(nested: BTreeMap<String, String>) -> Option<Self> {
        Some(nested)
    }
}

/// Ports to try in turn: `8081`, `50100-50200` or `50100-50200,50300`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRange(Vec<(u16, u16)>);

impl PortRange {
    /// One port; 0 lets the system choose.
    pub fn single(port: u16) -> Self {
        Self(vec![(port, port)])
    }

    /// The ports in the order they are tried.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }
}

impl ConfigValue for PortRange {
    fn parse(text: &str) -> Result<Self, String> {
        let expected = || "expected a port from 0 to 65535, or a range or list such as `50100-50200,50300`".to_owned();
        let port = |text: &str| text.trim().parse::<u16>().map_err(|_| expected());
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (port(first)?, port(last)?);
            if first > last {
                return Err(format!("the range `{}` is empty; {}", part.trim(), expected()));
            }
            ranges.push((first, last));
        }
        Ok(Self(ranges))
    }

    fn show(&self) -> String {
        let part = |(first, last): &(u16, u16)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        self.0.iter().map(part).collect::<Vec<_>>().join(",")
    }
}

/// Declares an enum that is an option's value: each variant with the names it is read by, without regard to case. The
/// first name is the one shown.
///
/// ```
/// wiesel_common::config_enum! {
///     /// How tasks are spread over TaskManagers.
///     pub enum LoadBalance {
///         /// As they come.
///         None = "NONE",
///         /// By number of slots.
///         Slots = "SLOTS" | "MIN_RESOURCES",
///     }
/// }
/// ```
#[macro_export]
macro_rules! config_enum {
    (
        $(#[$doc:meta])*
        $vis:vis enum $name:ident {
            $($(#[$variant_doc:meta])* $variant:ident = $shown:literal $(| $alias:literal)*),* $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $name {
            $($(#[$variant_doc])* $variant),*
        }

        impl $crate::config::ConfigValue for $name {
            fn parse(text: &str) -> Result<Self, String> {
                let text = text.trim();
                $(
                    if [$shown $(, $alias)*].iter().any(|name| name.eq_ignore_ascii_case(text)) {
                        return Ok(Self::$variant);
                    }
                )*
                Err(format!("expected one of {}", [$($shown),*].join(", ")))
            }

            fn show(&self) -> String {
                match self {
                    $(Self::$variant => $shown.to_owned()),*
                }
            }
        }
    };
}
