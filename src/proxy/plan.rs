//! Where requests go, as of now.

use std::borrow::Borrow;
use std::sync::Arc;

use http::{Response, request};

use super::LiveBody;
use crate::capture::Mirror;
use crate::client::{self, Client, Timed};
use crate::config::BaseUrl;
use crate::experiment::{Experiment, Role, Table};

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
    experiment: Option<&'p Experiment>,
}

impl Plan {
    /// Who answers what is no experiment.
    pub(super) fn upstream(&self) -> Destination<'_> {
        Destination {
            base: &self.upstream,
            client: &self.client,
            experiment: None,
        }
    }
}

impl Lane {
    /// The experiment's reference.
    pub(super) fn reference(&self) -> Destination<'_> {
        Destination {
            base: &self.experiment.reference.base,
            client: &self.client,
            experiment: Some(&self.experiment),
        }
    }
}

impl Destination<'_> {
    /// Makes a request one for this backend.
    pub(super) fn rewrite(&self, head: &mut request::Parts) {
        if let Some(experiment) = self.experiment {
            experiment.rewrite(&experiment.reference.rewrite, head);
        }
    }

    /// Sends a request, and waits for the response's head.
    pub(super) async fn send(
        &self,
        role: Role,
        head: request::Parts,
        body: LiveBody,
    ) -> Result<Response<Timed>, client::Error> {
        self.client.send(self.base, role, head, body).await
    }
}
