//! The policy and the driver of Swift Sampler: finds a sampler by Bayesian optimisation over short trials, each of which
//! trains a network on batches that a daemon draws.
//!
//! [`policy`] decides, as a pure function of a study's trials, which trial comes next; [`gp`] is its surrogate and
//! [`acquisition`] how it looks ahead; [`space`] maps samplers to points.

pub mod acquisition;
pub mod data;
pub mod gp;
pub mod lbfgs;
pub mod plot;
pub mod policy;
pub mod randomness;
pub mod space;
pub mod target;
