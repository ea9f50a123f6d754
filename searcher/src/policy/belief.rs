//! What a study believes of samplers, for those who look at it: the posterior that the policy recommends by.

use super::{Plan, PolicyError, Samplers, TrialRecord, surrogate};
use crate::behaviour::Behaviour;
use crate::gp::Posterior;
use crate::optimiser::Surrogate;

/// The posterior over a study's samplers.
#[derive(Debug)]
pub struct Belief<'a> {
    samplers: Samplers<'a>,
    surrogate: Surrogate,
}

impl<'a> Belief<'a> {
    /// Fits the surrogate to the search trials so far, as the recommendation does; `None` while too few have ended.
    ///
    /// # Errors
    /// [`PolicyError`] when the trials do not make a surrogate.
    pub fn learn(
        plan: &'a Plan,
        behaviour: &'a Behaviour,
        records: &[TrialRecord],
    ) -> Result<Option<Self>, PolicyError> {
        let surrogate = surrogate::learn(plan, records, plan.trials as u64)?;
        let samplers = Samplers { space: &plan.space, behaviour };
        Ok(surrogate.map(|surrogate| Self { samplers, surrogate }))
    }

    /// Returns μ and σ of the sampler at a point of the cube; `None` where there is none worth a trial.
    #[must_use]
    pub fn at(&self, point: &[f64]) -> Option<Posterior> {
        self.samplers.placed(point).map(|(_, coordinates)| self.surrogate.gp.posterior(&coordinates))
    }
}
