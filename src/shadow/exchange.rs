//! Asks the candidate, and the secondary if there is one, beside the reference, and waits for them.

use std::pin::pin;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::judge::Pair;
use super::{Admission, Inner, Permits};
use crate::capture::{Captured, Ended, Exchange, RequestBody, Side};
use crate::outcome::Skip;

impl Inner {
    /// Asks the candidate beside the reference, and waits for both.
    pub(super) async fn pair(
        &self,
        exchange: Exchange,
        admission: Option<Admission>,
    ) -> Result<(Pair, Permits), Skip> {
        let Exchange {
            experiment,
            request,
            request_body,
            mut reference,
        } = exchange;
        let body = self.whole(request_body, &mut reference).await?;
        let (permits, pass) = match admission {
            Some(admission) => admission,
            None => self.admit(&experiment)?,
        };
        let ((reference, candidate), second) = {
            let base = &experiment.candidate.base;
            let asking = async {
                let asking = self
                    .candidate
                    .exchange(base, &request, body.content.bytes());
                let side = asking.await;
                if let Some(pass) = pass {
                    pass.report_side(&side);
                }
                side
            };
            let both = pin!(self.both(reference, asking));
            let bytes = body.content.bytes();
            let beside = self.seconds.beside(&experiment, &request, bytes, both);
            beside.await?
        };
        let pair = Pair {
            request,
            request_body: body,
            reference,
            candidate,
            second,
        };
        Ok((pair, permits))
    }

    /// The request's body, or why there is none.
    async fn whole(
        &self,
        request_body: RequestBody,
        reference: &mut oneshot::Receiver<Ended>,
    ) -> Result<Captured, Skip> {
        match request_body.whole().await {
            Ok(body) => Ok(body),
            Err(Skip::RequestUnread) => {
                // A body's reader is gone when the client is, too; only the reference's side can tell.
                let ended = timeout(self.max_wait, reference).await;
                let client_gone = matches!(ended, Ok(Ok(Ended::ClientGone) | Err(_)));
                Err(if client_gone {
                    Skip::ClientGone
                } else {
                    Skip::RequestUnread
                })
            }
            Err(Skip::ClientGone) => {
                // A client that had its answer before may well keep its body, should it not be wanted.
                let ended = timeout(self.max_wait, reference).await;
                Err(match ended {
                    Ok(Ok(Ended::Over(Ok(_)))) => Skip::RequestUnread,
                    _ => Skip::ClientGone,
                })
            }
            Err(skip) => Err(skip),
        }
    }

    /// Waits for both sides, as long as the client waits for the reference.
    async fn both(
        &self,
        mut reference: oneshot::Receiver<Ended>,
        asking: impl Future<Output = Side>,
    ) -> Result<(Side, Side), Skip> {
        let mut asking = pin!(asking);
        let mut candidate = None;
        let ended = tokio::select! {
            ended = &mut reference => ended,
            side = &mut asking => {
                candidate = Some(side);
                let waiting = timeout(self.max_wait, reference);
                waiting.await.map_err(|_elapsed| Skip::ReferenceSlow)?
            }
        };
        let Ok(Ended::Over(reference)) = ended else {
            return Err(Skip::ClientGone);
        };
        let candidate = match candidate {
            Some(candidate) => candidate,
            None => asking.await,
        };
        Ok((reference, candidate))
    }
}
