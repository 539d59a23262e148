//! The `[outcomes]` table: where a line for each matched request and candidate goes.

use std::cell::RefCell;

use super::bounds::{self, Delivery};
use super::file::{self, File};
use super::problem::Problems;
use super::reader::{Off, Section};
use super::{Settings, topics};
use crate::matching::Rate;

/// Where lines of outcomes go, at least to one place, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcomes {
    /// The requests that there are lines for.
    pub sample: Rate,
    /// Whether they go to standard output.
    pub stdout: bool,
    /// The file that they go to.
    pub file: Option<File>,
    /// The Kafka topic that they go to.
    pub topic: Option<String>,
    /// The bounds of what waits in memory, for each of these places.
    pub queue: Delivery,
}

/// Reads `[outcomes]`: `Some(None)` where no line goes anywhere, `None` if a problem was noted.
#[expect(
    clippy::option_option,
    reason = "wrong, turned off and given are three things"
)]
pub(super) fn read(mut section: Section<'_>) -> Option<Option<Outcomes>> {
    let sample = section.take("sample");
    let stdout: Option<bool> = section.take("stdout");
    let topic = topic(&mut section);
    let file = file::take(&mut section);
    let queue = bounds::queue(&mut section);
    section.finish();
    let outcomes = Outcomes {
        sample: sample?,
        stdout: stdout?,
        file: file?,
        topic: topic?,
        queue: queue?,
    };
    let is_on = outcomes.stdout || outcomes.file.is_some() || outcomes.topic.is_some();
    Some(is_on.then_some(outcomes))
}

#[expect(
    clippy::option_option,
    reason = "wrong, turned off and given are three things"
)]
fn topic(section: &mut Section<'_>) -> Option<Option<String>> {
    let Off(topic) = section.take("topic")?;
    let wrong = topic.as_deref().filter(|topic| !topics::is_legal(topic));
    if let Some(topic) = wrong {
        let message = format!("\"{topic}\" is no topic name: {}", topics::RULE);
        section.problem("topic", message);
        return None;
    }
    Some(topic)
}

/// Notes where outcomes and differences would get in each other's way.
pub(super) fn check(settings: &Settings, problems: &RefCell<Problems>) {
    let Some(outcomes) = &settings.outcomes else {
        return;
    };
    let problem = |key: &str, message: String| problems.borrow_mut().add(key, message);
    if outcomes.stdout && settings.stdout {
        let message = "differences go to standard output already (stdout.enabled): each stream is written by \
            itself, so that lines could break off within each other's";
        problem("outcomes.stdout", message.to_owned());
    }
    let is_same = |(own, other): (&File, &File)| own.path == other.path;
    let files = outcomes.file.as_ref().zip(settings.file.as_ref());
    if files.is_some_and(is_same) {
        let message = "is the file that differences go to (file.path)";
        problem("outcomes.path", message.to_owned());
    }
    let mut topics = settings.routes.iter().map(|route| &route.topic);
    if let Some(topic) = &outcomes.topic
        && settings.kafka.enabled
        && topics.any(|other| other == topic)
    {
        let message = format!("\"{topic}\" is a topic that differences go to");
        problem("outcomes.topic", message);
    }
}
