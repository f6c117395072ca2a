//! A session: a connection to a server, and who calls.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prost::Name;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};

use super::deadline::Bounded;
use super::failure::{Context, Failure};
use super::output::Output;
use super::settings::Settings;
use super::{connection, input};
use crate::authority::access::Rpc;
use crate::domain::entropy::{self, OsEntropy};
use crate::pb::audit_service_client::AuditServiceClient;
use crate::pb::introspection_service_client::IntrospectionServiceClient;
use crate::pb::invite_service_client::InviteServiceClient;
use crate::pb::scope_service_client::ScopeServiceClient;
use crate::pb::self_service_client::SelfServiceClient;
use crate::pb::tenant_service_client::TenantServiceClient;
use crate::pb::token_service_client::TokenServiceClient;
use crate::pb::user_service_client::UserServiceClient;

/// A connection and who calls over it.
#[derive(Debug)]
pub(super) struct Session {
    channel: Bounded,
    bearer: Option<MetadataValue<Ascii>>,
    timeout: Duration,
    /// What was called last, for whoever reads of its failure.
    context: Mutex<Context>,
    /// How answers are printed.
    pub(super) output: Output,
    /// What the flags, the environment and the profile come to.
    pub(super) settings: Settings,
}

/// Declares a client for each service.
macro_rules! clients {
    ($($(#[$attribute:meta])* $name:ident: $client:ident,)+) => {$(
        $(#[$attribute])*
        #[doc = concat!("Returns a client: ", stringify!($client), ".")]
        pub(super) fn $name(&self) -> $client<Bounded> {
            $client::new(self.channel.clone())
                .max_decoding_message_size(connection::ANSWER_BYTES)
        }
    )+};
}

impl Session {
    /// Connects.
    pub(super) async fn open(settings: Settings) -> Result<Self, Failure> {
        let bearer = settings.credential.as_ref().map(|credential| {
            let mut bearer: MetadataValue<Ascii> = format!("Bearer {}", credential.value)
                .parse()
                .map_err(|_| {
                let origin = &credential.origin;
                Failure::usage(format!("no token, by its characters: {origin}"))
            })?;
            bearer.set_sensitive(true);
            Ok::<_, Failure>(bearer)
        });
        let bearer = bearer.transpose()?;
        let channel = connection::connect(&settings).await?;
        let context = Context {
            address: settings.address.to_string(),
            credential: settings
                .credential
                .as_ref()
                .map(|credential| credential.origin.to_string()),
            ..Context::default()
        };
        Ok(Self {
            channel: Bounded::new(channel, settings.timeout),
            bearer,
            timeout: settings.timeout,
            context: Mutex::new(context),
            output: settings.output,
            settings,
        })
    }

    clients! {
        tokens: TokenServiceClient,
        introspection: IntrospectionServiceClient,
        me: SelfServiceClient,
        tenants: TenantServiceClient,
        users: UserServiceClient,
        scopes: ScopeServiceClient,
        invites: InviteServiceClient,
        audit: AuditServiceClient,
    }

    /// Returns a request by this caller, with its deadline.
    pub(super) fn request<T: Name>(&self, message: T) -> Request<T> {
        let mut request = self.request_by_nobody(message);
        if let Some(bearer) = &self.bearer {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", bearer.clone());
        }
        request
    }

    /// Returns a request without a credential, with its deadline.
    pub(super) fn request_by_nobody<T: Name>(&self, message: T) -> Request<T> {
        let rpc = T::NAME.strip_suffix("Request");
        let rpc = rpc.and_then(|name| Rpc::ALL.iter().find(|rpc| rpc.name() == name));
        self.context_mut(|context| context.rpc = rpc.copied());
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }

    /// Returns the tenant of a call: the given one, else that of `--tenant`, the
    /// environment or the profile, else `active`, the caller's own.
    pub(super) fn tenant(&self, given: Option<String>) -> String {
        given
            .or_else(|| self.settings.tenant.clone())
            .unwrap_or_else(|| String::from("active"))
    }

    /// Returns the request id of a call that changes something: the given one, or a new
    /// one, so that whoever does not learn how the call went can ask again.
    pub(super) fn request_id(&self, given: Option<String>) -> Result<String, Failure> {
        let request_id = if let Some(given) = given {
            given
        } else {
            let random: [u8; 16] =
                entropy::bytes(&OsEntropy).map_err(|error| Failure::told(error.to_string()))?;
            let id = uuid::Builder::from_random_bytes(random).into_uuid();
            id.to_string()
        };
        self.context_mut(|context| context.request_id = Some(request_id.clone()));
        Ok(request_id)
    }

    /// Asks whether to go on with what can't be undone; see [`input::confirm`].
    /// Says at which server.
    pub(super) fn confirm(&self, question: &str, yes: bool) -> Result<(), Failure> {
        let address = &self.settings.address;
        input::confirm(&format!("At {address}: {question}"), yes)
    }

    /// Calls for more to say of a failure: what that was of stays what it was.
    pub(super) async fn aside<T>(&self, calls: impl Future<Output = T>) -> T {
        let mut before = Context::default();
        self.context_mut(|context| before = context.clone());
        let came = calls.await;
        self.context_mut(|context| *context = before);
        came
    }

    /// Returns the lines that say what went wrong in this session.
    pub(super) fn told(&self, failure: &Failure) -> String {
        let context = self.context.lock();
        failure.lines(&context.unwrap_or_else(PoisonError::into_inner))
    }

    fn context_mut(&self, change: impl FnOnce(&mut Context)) {
        let context = self.context.lock();
        change(&mut context.unwrap_or_else(PoisonError::into_inner));
    }
}
