//! Whose value was presented: what it may be, and what of that verifies.

use super::{Authority, Error};
use crate::domain::change::Revision;
use crate::domain::foreign::AnyValue;
use crate::domain::ids::TenantId;
use crate::domain::introspection::{Inactive, Record, Verifier};
use crate::store::{Found, Tx};

/// A record, and what verifies one of its values.
pub(super) type Candidate = (Record, Verifier);

/// Turns what was found of one lookup into candidates.
fn at_most_one(found: Found) -> (Revision, Vec<Candidate>) {
    (found.head, found.record.into_iter().collect())
}

impl Authority {
    /// Returns what a presented value may be, and the head, in one statement. Of a native
    /// value that is one at most; of a foreign one those whose hint it begins with.
    pub(super) async fn find_candidates(
        &self,
        value: &AnyValue,
    ) -> Result<(Revision, Vec<Candidate>), Error> {
        let (head, candidates) = match value {
            AnyValue::Native(value) => {
                at_most_one(self.store.find_record_by_lookup(value.lookup()).await?)
            }
            AnyValue::Foreign(value) => {
                let found = self.store.find_records_by_beginning(value.beginning());
                let found = found.await?;
                (found.head, found.records)
            }
        };
        Ok((self.see(head), candidates))
    }

    /// Returns which of the candidates the value is. Those that need no bcrypt are asked
    /// first: one that is in use finds itself without it.
    pub(super) async fn recognise(
        &self,
        value: &AnyValue,
        candidates: Vec<Candidate>,
    ) -> Result<Result<Candidate, Inactive>, Error> {
        self.recognise_for(None, value, candidates).await
    }

    /// As [`recognise`](Self::recognise), for who is bound to a tenant: bcrypt judges that
    /// tenant's candidates alone, so that nobody takes another's share of it.
    pub(super) async fn recognise_for(
        &self,
        bound: Option<&TenantId>,
        value: &AnyValue,
        candidates: Vec<Candidate>,
    ) -> Result<Result<Candidate, Inactive>, Error> {
        if candidates.is_empty() {
            return Ok(Err(match value {
                AnyValue::Native(_) => Inactive::Unknown,
                AnyValue::Foreign(_) => Inactive::Malformed,
            }));
        }
        let secret = value.secret();
        let (mut open, mut wrong) = (Vec::new(), Inactive::WrongSecret);
        for candidate in candidates {
            match self.compare(secret, &candidate.1) {
                Some(true) => return Ok(Ok(candidate)),
                Some(false) => {}
                None if bound.is_none_or(|bound| *bound == candidate.0.token.tenant_id) => {
                    open.push(candidate);
                }
                None => wrong = Inactive::OtherTenant,
            }
        }
        for candidate in open {
            let (record, verifier) = &candidate;
            if self
                .verify(secret, verifier, &record.token.tenant_id)
                .await?
            {
                return Ok(Ok(candidate));
            }
        }
        Ok(Err(wrong))
    }
}

/// As [`Authority::find_candidates`], as of the transaction's snapshot.
pub(super) async fn candidates_in(tx: &mut Tx, value: &AnyValue) -> Result<Vec<Candidate>, Error> {
    match value {
        AnyValue::Native(value) => {
            let found = tx.find_record_by_lookup(value.lookup()).await?;
            Ok(at_most_one(found).1)
        }
        AnyValue::Foreign(value) => {
            let found = tx.find_records_by_beginning(value.beginning()).await?;
            Ok(found.records)
        }
    }
}
