//! Pictures of what a search found, as SVG.

mod crop_sheet;
mod heat_map;
mod history;
mod importance;
mod parallel;
mod sampler_curve;
mod slices;
mod style;

pub(crate) use crop_sheet::SHOWN;
pub use crop_sheet::{CropSheet, ShownCrops};
pub use heat_map::HeatMap;
pub use history::{History, HistoryPoint, PointKind};
pub use importance::ImportanceBars;
pub use parallel::{Parallel, ParallelLine};
pub use sampler_curve::{FeatureCurve, SamplerCurve};
pub use slices::{Slice, SlicePoint, Slices};

/// Why a picture cannot be drawn.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlotError {
    /// Nothing to show.
    #[error("there is nothing to draw: {0}")]
    Empty(&'static str),
    /// The drawing library failed.
    #[error("drawing failed: {0}")]
    Drawing(String),
}

impl<E: std::error::Error + Send + Sync> From<plotters::drawing::DrawingAreaErrorKind<E>> for PlotError {
    fn from(error: plotters::drawing::DrawingAreaErrorKind<E>) -> Self {
        Self::Drawing(error.to_string())
    }
}
