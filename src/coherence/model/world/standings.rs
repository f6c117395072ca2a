//! Whether the world's tenants stand.

use super::{Sim, World};
use crate::domain::change::ChangeNumber;
use crate::store::Error;

impl World {
    /// Returns which tenants stand now.
    pub(super) fn standings(&self) -> Vec<bool> {
        let tenants = self.tenants.iter();
        tenants.map(|(tenant, _)| !tenant.suspended).collect()
    }
}

impl Sim {
    /// Reads whether a tenant stands.
    pub(in crate::coherence::model) async fn standing(
        &self,
        tenant: usize,
    ) -> Result<Option<bool>, Error> {
        self.look(|world| Some(world.standings()[tenant])).await
    }

    /// Returns whether a tenant stood so at some time since a change.
    pub(in crate::coherence::model) fn stood(
        &self,
        tenant: usize,
        stands: bool,
        since: ChangeNumber,
    ) -> bool {
        let world = self.world.lock().unwrap();
        let since = usize::try_from(since.0).unwrap();
        let stood = world.stood[since..].iter();
        stood.map(|all| all[tenant]).any(|stood| stood == stands)
    }
}
