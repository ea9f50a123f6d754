//! Parallel coordinates: every sampler that was tried, as a line across its parameters.

use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, IntoDrawingArea, PathElement, Rectangle, SVGBackend};
use plotters::style::{Color, RGBColor, WHITE};

use super::PlotError;
use super::style::{
    CAPTION_PX, GRID, INK, LABEL_PX, MUTED, ORANGE, TITLE_PX, bold, centre_middle, graded, left_middle, px,
    right_middle, text,
};
use crate::space::Parameter;
use crate::target::Metric;

const WIDTH_PX: u32 = 960;
const HEIGHT_PX: u32 = 430;
const LEFT_PX: f64 = 62.0;
/// Room on the right for the objective's labels.
const RIGHT_PX: f64 = 880.0;
const TOP_PX: f64 = 104.0;
const BOTTOM_PX: f64 = 374.0;
const LINE_PX: u32 = 1;
const WINNER_PX: u32 = 3;
/// Steps of the bar that explains the colours.
const SHADES: u32 = 54;

/// One sampler that was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct ParallelLine {
    /// The search trial.
    pub number: u64,
    /// One a parameter, in its range.
    pub values: Vec<f64>,
    /// A share.
    pub objective: f64,
}

/// What the picture shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Parallel {
    /// Heading.
    pub title: String,
    /// The axes from left to right; the objective follows.
    pub parameters: Vec<Parameter>,
    /// The samplers tried.
    pub lines: Vec<ParallelLine>,
    /// The trial that stands out.
    pub highlight: Option<u64>,
    /// What objectives measure.
    pub metric: Metric,
}

impl Parallel {
    /// Draws the picture.
    ///
    /// # Errors
    /// [`PlotError`] when no trial has an objective.
    pub fn svg(&self) -> Result<String, PlotError> {
        if self.lines.is_empty() || self.parameters.is_empty() {
            return Err(PlotError::Empty("no sampler that was tried has an objective"));
        }
        let scale = Scale::of(self.lines.iter().map(|line| 100.0 * line.objective));
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (WIDTH_PX, HEIGHT_PX)).into_drawing_area();
            root.fill(&WHITE)?;
            root.draw_text(&self.title, &centre_middle(&bold(TITLE_PX)), (px(f64::from(WIDTH_PX) / 2.0), 24))?;
            self.draw_axes(&root)?;
            let mut order: Vec<&ParallelLine> = self.lines.iter().collect();
            // Better ones lie on top.
            order.sort_by(|a, b| a.objective.total_cmp(&b.objective));
            for line in &order {
                self.draw_line(&root, line, graded(scale.share(100.0 * line.objective)), LINE_PX, &scale)?;
            }
            if let Some(winner) = order.iter().find(|line| Some(line.number) == self.highlight) {
                self.draw_line(&root, winner, ORANGE, WINNER_PX, &scale)?;
            }
            draw_objective_axis(&root, &scale, self.metric)?;
            self.draw_legend(&root)?;
            root.present()?;
        }
        Ok(svg)
    }

    fn axis_px(&self, index: usize) -> f64 {
        LEFT_PX + (RIGHT_PX - LEFT_PX) * index as f64 / self.parameters.len() as f64
    }

    fn draw_axes(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), PlotError> {
        let (name, feature) = (centre_middle(&text(CAPTION_PX, INK)), centre_middle(&text(LABEL_PX, MUTED)));
        for (index, parameter) in self.parameters.iter().enumerate() {
            let x = px(self.axis_px(index));
            area.draw(&PathElement::new(vec![(x, px(TOP_PX)), (x, px(BOTTOM_PX))], GRID.stroke_width(2)))?;
            area.draw_text(&parameter.name, &name, (x, px(TOP_PX) - 34))?;
            area.draw_text(&parameter.feature, &feature, (x, px(BOTTOM_PX) + 36))?;
            area.draw_text(&format!("{}", parameter.high), &feature, (x, px(TOP_PX) - 14))?;
            area.draw_text(&format!("{}", parameter.low), &feature, (x, px(BOTTOM_PX) + 16))?;
        }
        Ok(())
    }

    fn draw_line(
        &self,
        area: &DrawingArea<SVGBackend<'_>, Shift>,
        line: &ParallelLine,
        colour: RGBColor,
        width: u32,
        scale: &Scale,
    ) -> Result<(), PlotError> {
        let height = |share: f64| BOTTOM_PX - share.clamp(0.0, 1.0) * (BOTTOM_PX - TOP_PX);
        let mut path: Vec<(i32, i32)> = self
            .parameters
            .iter()
            .zip(&line.values)
            .enumerate()
            .map(|(index, (p, value))| (px(self.axis_px(index)), px(height((value - p.low) / (p.high - p.low)))))
            .collect();
        path.push((px(RIGHT_PX), px(height(scale.share(100.0 * line.objective)))));
        area.draw(&PathElement::new(path, colour.stroke_width(width)))?;
        Ok(())
    }

    fn draw_legend(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), PlotError> {
        let style = left_middle(&text(LABEL_PX, INK));
        let worse = right_middle(&text(LABEL_PX, INK));
        let (left, y) = (330, 50);
        area.draw_text("worse", &worse, (left - 8, y))?;
        for step in 0..SHADES {
            let x = left + i32::try_from(2 * step).unwrap_or(0);
            let colour = graded(f64::from(step) / f64::from(SHADES - 1));
            area.draw(&Rectangle::new([(x, y - 5), (x + 2, y + 5)], colour.filled()))?;
        }
        let right = left + i32::try_from(2 * SHADES).unwrap_or(0);
        area.draw_text("better", &style, (right + 8, y))?;
        if let Some(trial) = self.highlight {
            area.draw(&PathElement::new(vec![(right + 72, y), (right + 96, y)], ORANGE.stroke_width(WINNER_PX)))?;
            area.draw_text(&format!("trial {trial}"), &style, (right + 104, y))?;
        }
        Ok(())
    }
}

fn draw_objective_axis(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    scale: &Scale,
    metric: Metric,
) -> Result<(), PlotError> {
    let (name, label) = (centre_middle(&text(CAPTION_PX, INK)), left_middle(&text(LABEL_PX, MUTED)));
    let x = px(RIGHT_PX);
    area.draw(&PathElement::new(vec![(x, px(TOP_PX)), (x, px(BOTTOM_PX))], MUTED.stroke_width(2)))?;
    let label_of = |hundredths: f64| match metric {
        Metric::Accuracy => format!("{hundredths:.1}%"),
        Metric::Perplexity => format!("{hundredths:.2}"),
    };
    let title = if metric == Metric::Accuracy { metric.name() } else { metric.axis() };
    area.draw_text(title, &name, (x, px(TOP_PX) - 34))?;
    area.draw_text(&label_of(scale.high), &label, (x + 8, px(TOP_PX)))?;
    area.draw_text(&label_of((scale.high + scale.low) / 2.0), &label, (x + 8, px((TOP_PX + BOTTOM_PX) / 2.0)))?;
    let below = if scale.cut { "≤ " } else { "" };
    area.draw_text(&format!("{below}{}", label_of(scale.low)), &label, (x + 8, px(BOTTOM_PX)))?;
    Ok(())
}

/// The objective's axis, in percent.
///
/// It ends as far below the median as the best is above: a few samplers under which training collapses would otherwise
/// leave the others no room.
struct Scale {
    low: f64,
    high: f64,
    /// Whether some lie below.
    cut: bool,
}

impl Scale {
    fn of(objectives: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = objectives.collect();
        sorted.sort_by(f64::total_cmp);
        let (worst, median, high) = (sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
        let floor = median - (high - median);
        let low = if high > median { worst.max(floor) } else { worst };
        let low = if high > low { low } else { high - 1.0 };
        Self { low, high, cut: worst < low }
    }

    fn share(&self, objective: f64) -> f64 {
        ((objective - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collapsed_trial_does_not_set_the_scale() {
        let scale = Scale::of([44.0, 79.0, 80.0, 81.0, 83.0].into_iter());
        assert!((scale.low - 77.0).abs() < 1e-9 && (scale.high - 83.0).abs() < 1e-9 && scale.cut);
        assert!(scale.share(44.0) < 1e-9 && scale.share(83.0) > 1.0 - 1e-9);
        let flat = Scale::of([80.0, 80.0].into_iter());
        assert!(flat.share(80.0) > 1.0 - 1e-9 && !flat.cut);
    }
}
