//! Creations and revocations beside the load. Each token that is revoked is asked about at
//! once, and must be inactive.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::population::{Population, REQUIRED, TOKENS_OF_USER};
use crate::app::BoxError;
use crate::pb;
use crate::pb::introspection_service_client::IntrospectionServiceClient;
use crate::pb::token_service_client::TokenServiceClient;

/// Who creates at once as fast as it goes: more than hash at once anywhere near.
const CREATORS: usize = 16;
/// Who creates at once at a rate.
const AT_RATE: usize = 4;

/// How many there are to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Creates {
    /// None.
    None,
    /// So many a second.
    PerSecond(f64),
    /// As many as values are hashed.
    Flood,
}

/// Creations and revocations under way.
#[derive(Debug)]
pub(super) struct Churn {
    stop: CancellationToken,
    tasks: JoinSet<Result<(), BoxError>>,
    state: Arc<State>,
    began: Instant,
}

/// What has been done.
#[derive(Debug, Default)]
struct State {
    created: AtomicU64,
    revoked: AtomicU64,
    made: Mutex<VecDeque<Made>>,
}

/// A token that was created, and its value.
struct Made {
    tenant_id: String,
    token_id: String,
    value: String,
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Made({})", self.token_id)
    }
}

impl State {
    fn made(&self) -> MutexGuard<'_, VecDeque<Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a token.
    async fn create(&self, client: &Client) -> Result<(), BoxError> {
        let number = self.created.load(Ordering::Relaxed);
        let made = client.create(number).await?;
        self.created.fetch_add(1, Ordering::Relaxed);
        self.made().push_back(made);
        Ok(())
    }

    /// Revokes a token that was created, if there is one.
    async fn revoke(&self, client: &Client) -> Result<(), BoxError> {
        let made = self.made().pop_front();
        if let Some(made) = made {
            client.revoke(made).await?;
            self.revoked.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Who asks for it, and where.
#[derive(Clone, Debug)]
pub(super) struct Client {
    channel: Channel,
    operator: MetadataValue<Ascii>,
    population: Population,
    tokens: u64,
}

impl Client {
    /// Connects as the operator.
    pub(super) async fn connect(
        address: SocketAddr,
        operator: &str,
        population: Population,
        tokens: u64,
    ) -> Result<Self, BoxError> {
        let endpoint = Channel::from_shared(format!("http://{address}"))?;
        let mut operator: MetadataValue<Ascii> = format!("Bearer {operator}").parse()?;
        operator.set_sensitive(true);
        Ok(Self {
            channel: endpoint.connect().await?,
            operator,
            population,
            tokens,
        })
    }

    /// Makes a message a request of the operator's.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.operator.clone());
        request
    }

    /// Returns who manages tokens.
    pub(super) fn tokens(&self) -> TokenServiceClient<Channel> {
        TokenServiceClient::new(self.channel.clone())
    }

    async fn create(&self, number: u64) -> Result<Made, BoxError> {
        let like = number.wrapping_mul(TOKENS_OF_USER) % self.tokens.max(1);
        let user = self.population.user_of(like)?;
        let asked = pb::CreateTokenRequest {
            tenant_id: user.tenant_id.to_string(),
            user_id: user.user_id.to_string(),
            kind: pb::TokenKind::Api.into(),
            name: format!("made {number}"),
            scopes: REQUIRED.map(String::from).to_vec(),
            ..Default::default()
        };
        let made = self.tokens().create_token(self.request(asked)).await;
        let made = made
            .map_err(|status| told("CreateToken", &status))?
            .into_inner();
        let token = made.token.ok_or("CreateToken: no token")?;
        Ok(Made {
            tenant_id: token.tenant_id,
            token_id: token.token_id,
            value: made.value,
        })
    }

    /// Revokes a token, and asks about it at once.
    async fn revoke(&self, made: Made) -> Result<(), BoxError> {
        let asked = pb::RevokeTokenRequest {
            tenant_id: made.tenant_id.clone(),
            token_id: made.token_id.clone(),
            kind: pb::TokenKind::Api.into(),
            ..Default::default()
        };
        let revoked = self.tokens().revoke_token(self.request(asked)).await;
        revoked.map_err(|status| told("RevokeToken", &status))?;
        let asked = pb::IntrospectRequest {
            token: made.value,
            tenant_id: made.tenant_id,
            ..Default::default()
        };
        let mut client = IntrospectionServiceClient::new(self.channel.clone());
        let answer = client.introspect(self.request(asked)).await;
        let answer = answer.map_err(|status| told("Introspect", &status))?;
        if answer.into_inner().active {
            return Err(format!("wrong answer: {} is revoked and active", made.token_id).into());
        }
        Ok(())
    }
}

/// Returns what a server said of a call.
pub(super) fn told(rpc: &str, status: &Status) -> BoxError {
    format!("{rpc}: {:?}: {}", status.code(), status.message()).into()
}

impl Churn {
    /// Begins.
    pub(super) fn start(
        runtime: &Runtime,
        client: &Client,
        creates: Creates,
        revokes_per_second: f64,
    ) -> Self {
        let mut churn = Self {
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
            state: Arc::default(),
            began: Instant::now(),
        };
        let (creators, gap) = match creates {
            Creates::None => (0, Duration::ZERO),
            Creates::PerSecond(rate) => {
                let each = f64::from(u32::try_from(AT_RATE).unwrap_or(1));
                (AT_RATE, Duration::from_secs_f64(each / rate.max(0.01)))
            }
            Creates::Flood => (CREATORS, Duration::ZERO),
        };
        let _entered = runtime.enter();
        for _ in 0..creators {
            let (client, state) = (client.clone(), Arc::clone(&churn.state));
            churn.spawn(gap, move || {
                let (client, state) = (client.clone(), Arc::clone(&state));
                async move { state.create(&client).await }
            });
        }
        if revokes_per_second > 0.0 {
            let (client, state) = (client.clone(), Arc::clone(&churn.state));
            let gap = Duration::from_secs_f64(1.0 / revokes_per_second);
            churn.spawn(gap, move || {
                let (client, state) = (client.clone(), Arc::clone(&state));
                async move { state.revoke(&client).await }
            });
        }
        churn
    }

    /// Does something again and again, so far apart, until told to stop.
    fn spawn<F>(&mut self, gap: Duration, mut work: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = Result<(), BoxError>> + Send,
    {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let mut ticks = (gap > Duration::ZERO).then(|| {
                let mut ticks = interval(gap);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                ticks
            });
            while !stop.is_cancelled() {
                if let Some(ticks) = &mut ticks {
                    tokio::select! {
                        () = stop.cancelled() => break,
                        _ = ticks.tick() => {}
                    }
                }
                work().await?;
            }
            Ok(())
        });
    }

    /// Ends it; returns how many tokens were created and revoked in a second.
    pub(super) fn stop(mut self, runtime: &Runtime) -> Result<(f64, f64), BoxError> {
        let seconds = self.began.elapsed().as_secs_f64().max(1e-9);
        self.stop.cancel();
        runtime.block_on(async {
            while let Some(ended) = self.tasks.join_next().await {
                ended??;
            }
            Ok::<_, BoxError>(())
        })?;
        let rate = |count: &AtomicU64| super::report::real(count.load(Ordering::Relaxed)) / seconds;
        Ok((rate(&self.state.created), rate(&self.state.revoked)))
    }
}
