//! A load on a server that somebody else has started, from the client's side alone: its
//! answers are learned first, and held to be the same from then on.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use super::Watch;
use super::churn::told;
use super::load::{self, Plan, Target};
use super::questions::Questions;
use super::report::{Figures, Report, Row};
use crate::app::BoxError;
use crate::pb;
use crate::pb::introspection_service_client::IntrospectionServiceClient;

/// A server, and what it is asked.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    /// Where it is, in plain text.
    pub address: std::net::SocketAddr,
    /// A file that holds the value of the caller's token.
    pub token_file: PathBuf,
    /// A file of values, a line each; all must be active.
    pub values_file: PathBuf,
    /// Which tenant they are asked about as of; the caller's own where it is empty.
    pub tenant: String,
}

/// Measures.
pub(super) fn run(
    elsewhere: &Elsewhere,
    plan: &Plan,
    rounds: usize,
    watch: &dyn Watch,
) -> Result<Report, BoxError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let token = std::fs::read_to_string(&elsewhere.token_file)?;
    let authorization = format!("Bearer {}", token.trim());
    let questions = Arc::new(learn(elsewhere, &authorization, &runtime)?);
    watch.at("answers learned", questions.count().into());
    let target = Target {
        address: elsewhere.address,
        authorization: Some(authorization),
        is_noop: false,
    };
    let mut report = Report::default();
    for round in 0..rounds {
        let (outcome, ..) = load::run(plan, &target, &questions, || ())?;
        report.loads.push(Row {
            name: format!("introspection, round {}", round + 1),
            figures: Figures::of(&outcome, None),
        });
        watch.at("rounds measured", round as u64 + 1);
    }
    report.notes.push(format!(
        "{} values against {}: what is known of the server's inside is absent.",
        questions.count(),
        elsewhere.address
    ));
    Ok(report)
}

/// Asks about each value once.
fn learn(
    elsewhere: &Elsewhere,
    authorization: &str,
    runtime: &Runtime,
) -> Result<Questions, BoxError> {
    let values = std::fs::read_to_string(&elsewhere.values_file)?;
    let values = values
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let mut credential: MetadataValue<Ascii> = authorization.parse()?;
    credential.set_sensitive(true);
    runtime.block_on(async {
        let endpoint = Channel::from_shared(format!("http://{}", elsewhere.address))?;
        let mut client = IntrospectionServiceClient::new(endpoint.connect().await?);
        let mut learned = Vec::new();
        for (line, value) in values.enumerate() {
            let asked = pb::IntrospectRequest {
                token: value.to_owned(),
                tenant_id: elsewhere.tenant.clone(),
                ..Default::default()
            };
            let mut request = Request::new(asked.clone());
            let metadata = request.metadata_mut();
            metadata.insert("authorization", credential.clone());
            let answer = client.introspect(request).await;
            let answer = answer
                .map_err(|status| told("Introspect", &status))?
                .into_inner();
            if !answer.active {
                return Err(format!("the value in line {} is not active", line + 1).into());
            }
            learned.push((asked, answer));
        }
        if learned.is_empty() {
            return Err("there are no values".into());
        }
        Ok(Questions::learned(learned))
    })
}
