//! Where requests go, as of now.

use std::borrow::Borrow;
use std::sync::Arc;

use http::{Response, request};

use super::LiveBody;
use super::race::Race;
use crate::capture::Mirror;
use crate::client::{self, Client, Timed};
use crate::config::{Backend, BaseUrl};
use crate::experiment::{Experiment, Role, Table};
use crate::rewrite::Rewrite;

/// Where requests go. A request keeps the plan that it began with.
pub struct Plan {
    /// Who answers what is no experiment.
    pub upstream: BaseUrl,
    /// How that one is asked.
    pub client: Client<LiveBody>,
    /// The experiments.
    pub experiments: Table<Arc<Lane>>,
}

/// An experiment on the live path.
pub struct Lane {
    /// What is tested.
    pub experiment: Arc<Experiment>,
    /// How its reference is asked.
    pub client: Client<LiveBody>,
    /// What its exchanges are offered to.
    pub mirror: Arc<dyn Mirror>,
    /// Whether all backends race for the answer, and what that needs.
    pub race: Option<Race>,
}

impl Borrow<Experiment> for Arc<Lane> {
    fn borrow(&self) -> &Experiment {
        &self.experiment
    }
}

/// Who answers a request.
pub(super) struct Destination<'p> {
    pub(super) base: &'p BaseUrl,
    client: &'p Client<LiveBody>,
    /// What it is sent instead, and of what experiment it is.
    rewrite: Option<(&'p Experiment, &'p Rewrite)>,
}

impl Plan {
    /// Who answers what is no experiment.
    pub(super) fn upstream(&self) -> Destination<'_> {
        Destination {
            base: &self.upstream,
            client: &self.client,
            rewrite: None,
        }
    }
}

impl Lane {
    /// The experiment's reference.
    pub(super) fn reference(&self) -> Destination<'_> {
        self.destination(&self.experiment.reference, &self.client)
    }

    /// A backend of the experiment's races: the reference at 0, and then the candidates.
    pub(super) fn contestant(&self, place: usize) -> Destination<'_> {
        match (&self.race, place.checked_sub(1)) {
            (Some(race), Some(candidate)) => {
                let client = &race.candidates[candidate];
                self.destination(&self.experiment.candidates[candidate].backend, client)
            }
            _ => self.reference(),
        }
    }

    fn destination<'l>(
        &'l self,
        backend: &'l Backend,
        client: &'l Client<LiveBody>,
    ) -> Destination<'l> {
        Destination {
            base: &backend.base,
            client,
            rewrite: Some((&self.experiment, &backend.rewrite)),
        }
    }
}

impl Destination<'_> {
    /// Makes a request one for this backend, sends it, and waits for the response's head, as [`Client::send`] does.
    pub(super) fn send(
        &self,
        role: Role,
        mut head: request::Parts,
        body: LiveBody,
    ) -> impl Future<Output = Result<Response<Timed>, client::Error>> + Send {
        let rewritten = self.rewrite.map_or(Ok(()), |(experiment, rewrite)| {
            experiment.rewrite(rewrite, &mut head)
        });
        let begun = match rewritten {
            Ok(()) => self.client.begin(self.base, role, head, body),
            Err(error) => client::Error::from(error).into(),
        };
        self.client.finish(self.base, begun)
    }
}
