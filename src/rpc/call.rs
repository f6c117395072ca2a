//! A call on its way to a use case and back.

use tonic::{Extensions, Request, Response, Status};

use super::layers::RequestId;
use super::status::status;
use crate::authority::{Call, Error, once_begun};
use crate::domain::reason::Violations;

/// A call without its message: who calls, and what its answer is known by.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) call: Call,
    pub(super) request_id: RequestId,
}

impl Opened {
    /// Takes a request apart. That nobody was authenticated for it is a fault of
    /// ours: the RPC has no row in the access table.
    pub(super) fn of<T>(request: Request<T>) -> Result<(Self, T), Status> {
        let (_, extensions, message) = request.into_parts();
        let request_id = request_id(&extensions);
        match extensions.get::<Call>() {
            Some(call) => Ok((
                Self {
                    call: call.clone(),
                    request_id,
                },
                message,
            )),
            None => Err(status(
                &Error::internal("no caller beside the request"),
                &request_id,
            )),
        }
    }

    /// Answers with what a reading use case comes to.
    pub(super) async fn read<T>(
        self,
        use_case: impl Future<Output = Result<T, Error>>,
    ) -> Result<Response<T>, Status> {
        let result = use_case.await;
        result
            .map(Response::new)
            .map_err(|error| status(&error, &self.request_id))
    }

    /// Answers with what a changing use case comes to, which goes on when the
    /// caller is gone.
    pub(super) async fn mutate<T: Send + 'static>(
        self,
        use_case: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        // On the heap: a mutation's state is large, and would be copied on its way
        // into the task.
        self.read(once_begun(Box::pin(use_case))).await
    }
}

fn request_id(extensions: &Extensions) -> RequestId {
    extensions.get().cloned().unwrap_or_else(RequestId::unknown)
}

/// Refuses what was wrong on the wire.
pub(super) fn clean(violations: Violations) -> Result<(), Error> {
    if violations.is_empty() {
        Ok(())
    } else {
        Err(violations.into())
    }
}
