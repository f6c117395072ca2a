//! Whose value was presented: which of those that it may be verifies it.

use super::{Authority, Error};
use crate::coherence::{Failure, Fresh, Kept, Read};
use crate::domain::fingerprint::{Fingerprint, KeyId, SecretHash};
use crate::domain::foreign::AnyValue;
use crate::domain::ids::{SecretId, TenantId};
use crate::domain::introspection::{Inactive, Record, Verifier};
use crate::domain::time::Timestamp;
use crate::domain::value::Secret;
use crate::store::{Found, Tx};

/// A record, and what verifies one of its values.
pub(super) type Candidate = (Record, Verifier);

/// What verifies a value that was presented, wherever it is kept.
#[derive(Clone, Copy)]
pub(super) struct Proof<'a> {
    /// The value's row.
    pub(super) secret_id: SecretId,
    /// Whose it is.
    pub(super) tenant_id: &'a TenantId,
    /// The fingerprint, and the key that it was made with.
    pub(super) fingerprint: Option<(&'a KeyId, &'a Fingerprint)>,
    /// The bcrypt hash; what is in memory has none.
    pub(super) secret_hash: Option<&'a SecretHash>,
}

impl<'a> From<&'a Kept> for Proof<'a> {
    fn from(kept: &'a Kept) -> Self {
        let fingerprint = kept.fingerprint.as_ref();
        Self {
            secret_id: kept.secret_id,
            tenant_id: kept.tenant_id(),
            fingerprint: fingerprint.map(|(key, fingerprint)| (&**key, fingerprint)),
            secret_hash: None,
        }
    }
}

impl<'a> From<&'a Fresh> for Proof<'a> {
    fn from(fresh: &'a Fresh) -> Self {
        Self {
            secret_hash: Some(&fresh.secret_hash),
            ..Self::from(&fresh.kept)
        }
    }
}

impl<'a> From<&'a Candidate> for Proof<'a> {
    fn from((record, verifier): &'a Candidate) -> Self {
        let fingerprint = verifier.fingerprint.as_ref();
        Self {
            secret_id: verifier.secret_id,
            tenant_id: &record.token.tenant_id,
            fingerprint: fingerprint.map(|(key, fingerprint)| (key, fingerprint)),
            secret_hash: Some(&verifier.secret_hash),
        }
    }
}

/// What a presented secret is by a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// The one that the row verifies.
    Good,
    /// That one, but its fingerprint is under an older key.
    GoodByOlder,
    /// Another.
    Wrong,
    /// That is for bcrypt to say.
    Open,
}

/// What can be said of a presented value at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtOnce {
    /// It is that one's of those that it may be; whether by an older key's fingerprint.
    Is(usize, bool),
    /// It is nobody's.
    Nobodys(Inactive),
    /// That is for bcrypt to say.
    Open,
}

/// What memory makes of a presented value.
pub(super) enum Recalled<'a> {
    /// It is this one's, and not over.
    Good(&'a Kept),
    /// It is worth nothing.
    Worthless(Inactive),
    /// That is not for memory to say.
    Open,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        if failure.is_unavailable() {
            Self::Unavailable(Box::new(failure))
        } else {
            Self::Internal(Box::new(failure))
        }
    }
}

/// Returns what is said of a value that may be nobody's.
fn unknown(value: &AnyValue) -> Inactive {
    match value {
        AnyValue::Native(_) => Inactive::Unknown,
        AnyValue::Foreign(_) => Inactive::Malformed,
    }
}

impl Authority {
    /// Returns which of those that it may be a value is, if fingerprints alone can say so.
    pub(super) fn recognise_at_once<'a>(
        &self,
        value: &AnyValue,
        proofs: impl ExactSizeIterator<Item = Proof<'a>>,
    ) -> AtOnce {
        let mut said = AtOnce::Nobodys(if proofs.len() == 0 {
            unknown(value)
        } else {
            Inactive::WrongSecret
        });
        for (at, proof) in proofs.enumerate() {
            match self.compare(value.secret(), proof) {
                Compared::Good => return AtOnce::Is(at, false),
                Compared::GoodByOlder => return AtOnce::Is(at, true),
                Compared::Wrong => {}
                Compared::Open => said = AtOnce::Open,
            }
        }
        said
    }

    /// Returns which of those that it may be a value is. Those that need no bcrypt are asked
    /// first: one that is in use finds itself without it. For who is bound to a tenant bcrypt
    /// judges that tenant's alone, so that nobody takes another's share of it.
    pub(super) async fn recognise(
        &self,
        bound: Option<&TenantId>,
        value: &AnyValue,
        proofs: &[Proof<'_>],
    ) -> Result<Result<usize, Inactive>, Error> {
        match self.recognise_at_once(value, proofs.iter().copied()) {
            AtOnce::Is(at, by_older) => {
                if let Some(proof) = proofs.get(at).filter(|_| by_older) {
                    self.renew(value.secret(), *proof);
                }
                return Ok(Ok(at));
            }
            AtOnce::Nobodys(reason) => return Ok(Err(reason)),
            AtOnce::Open => {}
        }
        let mut wrong = Inactive::WrongSecret;
        for (at, proof) in proofs.iter().enumerate() {
            if self.compare(value.secret(), *proof) == Compared::Wrong {
                continue;
            }
            if bound.is_some_and(|bound| bound != proof.tenant_id) {
                wrong = Inactive::OtherTenant;
            } else if self.verify(value.secret(), *proof).await? {
                return Ok(Ok(at));
            }
        }
        Ok(Err(wrong))
    }

    /// As [`renew`](Self::renew), for what is in memory, which is read anew.
    fn renew_kept(&self, value: &AnyValue, kept: &Kept) {
        if self.renews(value.secret(), kept.into()) {
            self.coherence.forget(value);
        }
    }

    /// Returns what memory makes of a value, whose records may be these.
    pub(super) fn recalled<'a>(
        &self,
        value: &AnyValue,
        kept: &'a [Kept],
        now: Timestamp,
    ) -> Recalled<'a> {
        let (at, by_older) = match self.recognise_at_once(value, kept.iter().map(Proof::from)) {
            AtOnce::Is(at, by_older) => (at, by_older),
            AtOnce::Nobodys(reason) => return Recalled::Worthless(reason),
            AtOnce::Open => return Recalled::Open,
        };
        let Some(kept) = kept.get(at) else {
            return Recalled::Open;
        };
        if by_older {
            self.renew_kept(value, kept);
        }
        if !kept.is_over(now) {
            Recalled::Good(kept)
        } else if kept.reused {
            Recalled::Worthless(Inactive::ValueEnded)
        } else {
            // What is not noted yet is to be written down.
            Recalled::Open
        }
    }

    /// Reads what a presented value may be, and as of when.
    pub(super) async fn read(&self, value: &AnyValue) -> Result<Read, Error> {
        let (number, kept) = self.coherence.read(value).await?;
        self.see_number(number);
        Ok((number, kept))
    }

    /// As [`recognise`](Self::recognise), of what was read; returns the value's own.
    pub(super) async fn recognise_read<'a>(
        &self,
        bound: Option<&TenantId>,
        value: &AnyValue,
        read: &'a [Fresh],
    ) -> Result<Result<&'a Kept, Inactive>, Error> {
        let proofs: Vec<Proof<'_>> = read.iter().map(Proof::from).collect();
        let at = match self.recognise(bound, value, &proofs).await? {
            Ok(at) => at,
            Err(reason) => return Ok(Err(reason)),
        };
        let read = read.get(at);
        let none = || Error::internal("a value that is none of its candidates");
        read.map(|fresh| Ok(&fresh.kept)).ok_or_else(none)
    }

    /// Remembers a good secret's fingerprint under the current key, in place of an older
    /// one's.
    fn renew(&self, secret: &Secret, proof: Proof<'_>) {
        self.renews(secret, proof);
    }

    /// As [`renew`](Self::renew); returns whether it is to be written now.
    fn renews(&self, secret: &Secret, proof: Proof<'_>) -> bool {
        !self.upgrades.has(proof.secret_id) && self.upgrade(proof, self.fingerprint_of(secret))
    }
}

/// Returns what a presented value may be, as of the transaction's snapshot.
pub(super) async fn candidates_in(tx: &mut Tx, value: &AnyValue) -> Result<Vec<Candidate>, Error> {
    match value {
        AnyValue::Native(value) => {
            let Found { record, .. } = tx.find_record_by_lookup(value.lookup()).await?;
            Ok(record.into_iter().collect())
        }
        AnyValue::Foreign(value) => {
            let found = tx.find_records_by_beginning(value.beginning()).await?;
            Ok(found.records)
        }
    }
}
