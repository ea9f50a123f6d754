//! A study's objectives over its trials.

use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Circle, Cross, DrawingArea, IntoDrawingArea, LineSeries, PathElement, Rectangle, SVGBackend,
};
use plotters::style::{Color, RGBColor, ShapeStyle, WHITE};

use super::PlotError;
use super::style::{
    BLUE, CAPTION_PX, GREEN, GRID, INK, LABEL_PX, MUTED, ORANGE, SKY, TITLE_PX, VERMILION, bold, left_middle, text,
};

use crate::target::Metric;

const WIDTH_PX: u32 = 960;
const CHART_HEIGHT_PX: u32 = 410;
const LEGEND_HEIGHT_PX: u32 = 40;

/// What a point of the history is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointKind {
    /// Uniform sampler.
    Baseline,
    /// Sobol point.
    Initial,
    /// Proposed by the surrogate.
    Search,
    /// A finalist under a fresh seed.
    Confirm,
    /// The uniform sampler under a fresh seed.
    UniformAgain,
    /// Has no objective.
    Infeasible,
}

impl PointKind {
    const ALL: [Self; 6] =
        [Self::Baseline, Self::Initial, Self::Search, Self::Confirm, Self::UniformAgain, Self::Infeasible];

    const fn label(self) -> &'static str {
        match self {
            Self::Baseline => "uniform",
            Self::Initial => "Sobol",
            Self::Search => "surrogate",
            Self::Confirm => "fresh seed",
            Self::UniformAgain => "uniform, fresh",
            Self::Infeasible => "infeasible",
        }
    }

    const fn colour(self) -> RGBColor {
        match self {
            Self::Baseline | Self::UniformAgain => MUTED,
            Self::Initial => SKY,
            Self::Search => BLUE,
            Self::Confirm => GREEN,
            Self::Infeasible => VERMILION,
        }
    }

    /// What has a fresh seed and a colour of before is hollow.
    fn style(self) -> ShapeStyle {
        if self == Self::UniformAgain { self.colour().stroke_width(2) } else { self.colour().filled() }
    }
}

/// One trial of the history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistoryPoint {
    /// The trial's number.
    pub number: u64,
    /// What it is.
    pub kind: PointKind,
    /// Its objective, a share; `None` if it has none.
    pub objective: Option<f64>,
}

/// What the picture of a study shows.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// Heading.
    pub title: String,
    /// The short trials in order.
    pub points: Vec<HistoryPoint>,
    /// What objectives measure.
    pub metric: Metric,
}

impl History {
    /// Draws the picture.
    ///
    /// # Errors
    /// [`PlotError`] when no trial has an objective.
    pub fn svg(&self) -> Result<String, PlotError> {
        let objectives: Vec<f64> = self.points.iter().filter_map(|point| point.objective).collect();
        if objectives.is_empty() {
            return Err(PlotError::Empty("no trial has an objective"));
        }
        let (lowest, highest) = range(&objectives);
        let last = self.points.iter().map(|point| point.number).max().unwrap_or(0) as f64;
        let mut svg = String::new();
        {
            let root =
                SVGBackend::with_string(&mut svg, (WIDTH_PX, CHART_HEIGHT_PX + LEGEND_HEIGHT_PX)).into_drawing_area();
            root.fill(&WHITE)?;
            let (area, legend) = root.split_vertically(CHART_HEIGHT_PX);
            let mut chart = ChartBuilder::on(&area)
                .caption(&self.title, bold(TITLE_PX))
                .margin(14)
                .margin_top(10)
                .x_label_area_size(46)
                .y_label_area_size(62)
                .build_cartesian_2d(-0.7..last + 0.7, lowest..highest)?;
            let baseline = self.baseline();
            if let Some((mean, sd)) = baseline {
                let band = [(-0.7, mean - 2.0 * sd), (last + 0.7, mean + 2.0 * sd)];
                chart.draw_series([Rectangle::new(band, MUTED.mix(0.13).filled())])?;
            }
            chart
                .configure_mesh()
                .disable_x_mesh()
                .bold_line_style(GRID)
                .max_light_lines(0)
                .axis_style(MUTED)
                .x_label_formatter(&|x| format!("{x:.0}"))
                .y_label_formatter(&|y| format!("{y:.1}"))
                .label_style(text(LABEL_PX, MUTED))
                .axis_desc_style(text(CAPTION_PX, INK))
                .x_desc("trial")
                .y_desc(format!("validation {}", self.metric.axis()))
                .draw()?;
            if let Some((mean, _)) = baseline {
                chart.draw_series(LineSeries::new([(-0.7, mean), (last + 0.7, mean)], MUTED.stroke_width(1)))?;
            }
            chart.draw_series(LineSeries::new(self.best_so_far(last), ORANGE.stroke_width(2)))?;
            for point in &self.points {
                let x = point.number as f64;
                match point.objective {
                    Some(y) => {
                        chart.draw_series([Circle::new((x, 100.0 * y), 5, point.kind.style())])?;
                    }
                    None => {
                        let bottom = lowest + 0.03 * (highest - lowest);
                        chart.draw_series([Cross::new((x, bottom), 5, VERMILION.stroke_width(2))])?;
                    }
                }
            }
            self.draw_legend(&legend, baseline.is_some())?;
            root.present()?;
        }
        Ok(svg)
    }

    /// Mean and standard deviation of the baseline, in percent.
    fn baseline(&self) -> Option<(f64, f64)> {
        let values: Vec<f64> = self
            .points
            .iter()
            .filter(|point| point.kind == PointKind::Baseline)
            .filter_map(|point| point.objective.map(|y| 100.0 * y))
            .collect();
        if values.is_empty() {
            return None;
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares: f64 = values.iter().map(|y| (y - mean).powi(2)).sum();
        let sd = if values.len() > 1 { (squares / (values.len() - 1) as f64).sqrt() } else { 0.0 };
        Some((mean, sd))
    }

    /// The steps of the best objective the search has seen, fresh seeds left out.
    fn best_so_far(&self, last: f64) -> Vec<(f64, f64)> {
        let mut steps: Vec<(f64, f64)> = Vec::new();
        let mut best = f64::NEG_INFINITY;
        for point in
            self.points.iter().filter(|point| !matches!(point.kind, PointKind::Confirm | PointKind::UniformAgain))
        {
            let Some(y) = point.objective.map(|y| 100.0 * y) else { continue };
            if y > best {
                if best.is_finite() {
                    steps.push((point.number as f64, best));
                }
                best = y;
                steps.push((point.number as f64, best));
            }
        }
        if best.is_finite() {
            steps.push((last, best));
        }
        steps
    }

    fn draw_legend(&self, area: &DrawingArea<SVGBackend<'_>, Shift>, band: bool) -> Result<(), PlotError> {
        const ENTRY_WIDTH_PX: i32 = 105;
        const TOP_PX: i32 = 14;
        let style = left_middle(&text(LABEL_PX, INK));
        let present = |kind: &PointKind| self.points.iter().any(|point| point.kind == *kind);
        let mut left = 92;
        for kind in PointKind::ALL.into_iter().filter(present) {
            if kind == PointKind::Infeasible {
                area.draw(&Cross::new((left, TOP_PX), 5, kind.colour().stroke_width(2)))?;
            } else {
                area.draw(&Circle::new((left, TOP_PX), 5, kind.style()))?;
            }
            area.draw_text(kind.label(), &style, (left + 11, TOP_PX))?;
            left += ENTRY_WIDTH_PX;
        }
        area.draw(&PathElement::new(vec![(left - 6, TOP_PX), (left + 14, TOP_PX)], ORANGE.stroke_width(2)))?;
        area.draw_text("best so far", &style, (left + 20, TOP_PX))?;
        left += ENTRY_WIDTH_PX + 6;
        if band {
            let swatch = [(left - 6, TOP_PX - 6), (left + 14, TOP_PX + 6)];
            area.draw(&Rectangle::new(swatch, MUTED.mix(0.2).filled()))?;
            area.draw_text("uniform ± 2 sd", &style, (left + 20, TOP_PX))?;
        }
        Ok(())
    }
}

/// The range of the axis, in percent, with room for the infeasible below.
fn range(objectives: &[f64]) -> (f64, f64) {
    let lowest = 100.0 * objectives.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = 100.0 * objectives.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let spread = (highest - lowest).max(0.5);
    (lowest - 0.12 * spread, highest + 0.08 * spread)
}
