//! Reading JSON whose types may change: a value of another type than hoped for is `None`, never an error.
//!
//! One field that a newer client writes differently must not cost the whole line, and so perhaps a finished attempt.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de::value::MapAccessDeserializer};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A `T` if the JSON value was one.
#[derive(Debug)]
pub(crate) struct Lax<T>(pub(crate) Option<T>);

impl<T> Default for Lax<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// A type that picks what it can use from any JSON value.
pub(crate) trait Want<'de>: Sized {
    fn of_text(_: Cow<'de, str>) -> Option<Self> {
        None
    }
    fn of_bool(_: bool) -> Option<Self> {
        None
    }
    fn of_number(_: f64) -> Option<Self> {
        None
    }
    fn of_seq<A: SeqAccess<'de>>(seq: A) -> Result<Option<Self>, A::Error> {
        drain(seq)?;
        Ok(None)
    }
    fn of_map<A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

fn drain<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// A text, borrowed from the line where it holds no escapes.
pub(crate) type Text<'a> = Lax<Cow<'a, str>>;

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

impl<'de: 'a, 'a> Want<'de> for Cow<'a, str> {
    fn of_text(text: Cow<'de, str>) -> Option<Self> {
        Some(text)
    }
}

impl<'de> Want<'de> for bool {
    fn of_bool(value: bool) -> Option<Self> {
        Some(value)
    }
}

impl<'de> Want<'de> for f64 {
    fn of_number(value: f64) -> Option<Self> {
        Some(value)
    }
}

/// An object as it is, whatever is in it.
impl<'de> Want<'de> for serde_json::Map<String, serde_json::Value> {
    fn of_map<A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        read_map(map).map(Some)
    }
}

/// Counts are whole and not negative; anything else saturates.
impl<'de> Want<'de> for u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast to an integer saturates")]
    fn of_number(value: f64) -> Option<Self> {
        Some(value as u64)
    }
}

/// At most 256 elements; what follows is skipped, so that a line of a million empty objects stays small.
impl<'de, T: Want<'de>> Want<'de> for Vec<T> {
    fn of_seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Option<Self>, A::Error> {
        let mut all = Vec::new();
        while all.len() < 256 {
            match seq.next_element::<Lax<T>>()? {
                Some(Lax(Some(one))) => all.push(one),
                Some(Lax(None)) => {}
                None => return Ok(Some(all)),
            }
        }
        drain(seq)?;
        Ok(Some(all))
    }
}

/// Makes a struct with `derive(Deserialize)` wanted: taken from an object, `None` from anything else.
macro_rules! want_struct {
    ($($name:ident),+ $(,)?) => {$(
        impl<'de: 'a, 'a> $crate::lax::Want<'de> for $name<'a> {
            fn of_map<A: serde::de::MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
                $crate::lax::read_map(map).map(Some)
            }
        }
    )+};
}
pub(crate) use want_struct;

pub(crate) fn read_map<'de, T: Deserialize<'de>, A: MapAccess<'de>>(map: A) -> Result<T, A::Error> {
    T::deserialize(MapAccessDeserializer::new(map))
}

impl<'de, T: Want<'de>> Deserialize<'de> for Lax<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Pick(PhantomData).deserialize(d)
    }
}

struct Pick<T>(PhantomData<T>);

impl<'de, T: Want<'de>> DeserializeSeed<'de> for Pick<T> {
    type Value = Lax<T>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Lax<T>, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de, T: Want<'de>> Visitor<'de> for Pick<T> {
    type Value = Lax<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E: Error>(self) -> Result<Lax<T>, E> {
        Ok(Lax(None))
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Lax<T>, E> {
        Ok(Lax(T::of_bool(value)))
    }
    #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^53")]
    fn visit_u64<E: Error>(self, value: u64) -> Result<Lax<T>, E> {
        Ok(Lax(T::of_number(value as f64)))
    }
    #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^53")]
    fn visit_i64<E: Error>(self, value: i64) -> Result<Lax<T>, E> {
        Ok(Lax(T::of_number(value as f64)))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Lax<T>, E> {
        Ok(Lax(T::of_number(value)))
    }
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Lax<T>, E> {
        Ok(Lax(T::of_text(Cow::Borrowed(text))))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Lax<T>, E> {
        Ok(Lax(T::of_text(Cow::Owned(text.to_owned()))))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Lax<T>, A::Error> {
        T::of_seq(seq).map(Lax)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Lax<T>, A::Error> {
        T::of_map(map).map(Lax)
    }
}
