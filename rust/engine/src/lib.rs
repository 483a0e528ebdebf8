//! The pipelines that move and guard bytes, run as jobs on threads of their own.
//!
//! Knows nothing of Python: `bindings` wraps what is public here. Every job ends with a report or an
//! [`EngineError`] whose code is stable, and a job that has ended has drained: nothing of it runs on.
#![forbid(unsafe_code)]

pub mod error;
pub mod job;

pub use error::{ERROR_CODES, EngineError};
pub use job::{JobContext, JobHandle};
