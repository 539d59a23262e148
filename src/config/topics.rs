//! Topics: the name of each route's, and how those that are not there are created.

use std::collections::HashMap;
use std::time::Duration;

use super::reader::{Off, Section};
use super::route::Route;

/// What stands for the route's name in a topic.
const ROUTE: &str = "{route}";

/// What a topic's name may be: Kafka's own rule, which is what can be a directory's name.
pub(super) const RULE: &str = "1 to 249 letters, digits, \".\", \"_\" or \"-\"";

/// Whether and how topics are created at start. What is `None` is the broker's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topics {
    /// Whether those that are not there are.
    pub create: bool,
    /// Partitions of each.
    pub partitions: Option<i32>,
    /// Brokers that have each partition.
    pub replication_factor: Option<i32>,
    /// How long they keep records.
    pub retention: Option<Duration>,
}

/// A topic as it is written, with the route's name somewhere in it or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(String);

impl Template {
    /// Takes the key; `None` if a problem was noted.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let template = Self(section.take("topic")?);
        template.checked(section)
    }

    /// Takes the key if it is there; `None` if a problem was noted.
    #[expect(
        clippy::option_option,
        reason = "wrong, left out and given are three things"
    )]
    pub(super) fn read_optional(section: &mut Section<'_>) -> Option<Option<Self>> {
        match section.take_optional("topic")? {
            None => Some(None),
            Some(text) => Self(text).checked(section).map(Some),
        }
    }

    /// Notes what no route's name can make right.
    fn checked(self, section: &Section<'_>) -> Option<Self> {
        let Self(text) = &self;
        // The shortest name that there is.
        if is_legal(&text.replace(ROUTE, "r")) {
            return Some(self);
        }
        let but = if text.contains(ROUTE) {
            format!(", beside \"{ROUTE}\"")
        } else {
            String::new()
        };
        section.problem("topic", format!("\"{text}\" is no topic name: {RULE}{but}"));
        None
    }

    /// The topic of the route of this name, or what is wrong with it.
    pub(super) fn resolve(&self, route: &str) -> Result<String, String> {
        let Self(text) = self;
        let topic = text.replace(ROUTE, &legal(route));
        if is_legal(&topic) {
            return Ok(topic);
        }
        Err(format!(
            "\"{text}\" would be \"{topic}\" for the route \"{route}\", which is no topic name: {RULE}"
        ))
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// Reads `[topics]`; `None` if a problem was noted.
pub(super) fn read(mut section: Section<'_>) -> Option<Topics> {
    let create = section.take("create");
    let partitions = number(&mut section, "partitions", i32::MAX);
    let replication_factor = number(&mut section, "replication_factor", i16::MAX.into());
    let retention: Option<Off<_>> = section.take("retention");
    section.finish();
    Some(Topics {
        create: create?,
        partitions: partitions?,
        replication_factor: replication_factor?,
        retention: retention?.0,
    })
}

#[expect(
    clippy::option_option,
    reason = "wrong, turned off and given are three things"
)]
fn number(section: &mut Section<'_>, key: &'static str, largest: i32) -> Option<Option<i32>> {
    let number: Off<usize> = section.take(key)?;
    let Some(number) = number.0 else {
        return Some(None);
    };
    let number = i32::try_from(number).ok().filter(|n| *n <= largest);
    if number.is_none() {
        section.problem(key, format!("is above {largest}, more than Kafka takes"));
    }
    number.map(Some)
}

/// A warning for each topic that several routes came to by the template, though it is to tell them apart.
pub(super) fn doubts<'a>(
    template: &'a str,
    routes: &'a [Route],
) -> impl Iterator<Item = String> + use<'a> {
    let template = Template(template.to_owned());
    let mut firsts: HashMap<&str, &str> = HashMap::new();
    let of_template = move |route: &&Route| {
        template.0.contains(ROUTE) && template.resolve(&route.name).as_ref() == Ok(&route.topic)
    };
    routes.iter().filter(of_template).filter_map(move |route| {
        let Some(first) = firsts.get(&*route.topic) else {
            firsts.insert(&route.topic, &route.name);
            return None;
        };
        Some(format!(
            "the routes \"{first}\" and \"{}\" have the same topic, \"{}\", by kafka.topic",
            route.name, route.topic
        ))
    })
}

/// The name as a part of a topic's: runs of what can't be in one are a "-" each, and none at its ends.
fn legal(name: &str) -> String {
    let parts = name.split(|c: char| !c.is_ascii() || !is_legal_byte(c as u8));
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    parts.join("-").trim_matches('-').to_owned()
}

pub(super) fn is_legal(topic: &str) -> bool {
    (1..=249).contains(&topic.len())
        && topic != "."
        && topic != ".."
        && topic.bytes().all(is_legal_byte)
}

fn is_legal_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_routes_name_is_made_legal_for_a_topic() {
        for (name, expected) in [
            ("orders", "orders"),
            ("/api/{value}", "api-value"),
            ("/files/{*rest}", "files-rest"),
            ("v1.2_a-b", "v1.2_a-b"),
            ("-/a-/-b/-", "a---b"),
            ("Bücher und mehr", "B-cher-und-mehr"),
            ("/", ""),
        ] {
            assert_eq!(legal(name), expected, "{name}");
        }
    }

    #[test]
    fn a_topic_is_legal_or_an_error_that_says_for_which_route() {
        let topic = |template: &str, route: &str| Template(template.to_owned()).resolve(route);
        assert_eq!(topic("miffy", "/a"), Ok("miffy".to_owned()));
        assert_eq!(
            topic("miffy.{route}", "/a/{id}"),
            Ok("miffy.a-id".to_owned())
        );
        assert_eq!(topic("miffy.{route}", "/"), Ok("miffy.".to_owned()));
        for (template, route) in [
            ("{route}", "/"),
            ("{route}", ".."),
            ("a{route}", &"b".repeat(249)),
        ] {
            let wrong = topic(template, route).expect_err("it is wrong");
            assert!(wrong.contains(&format!("\"{route}\"")), "{wrong}");
        }
        assert!(topic("a{route}", &"b".repeat(248)).is_ok());
    }
}
