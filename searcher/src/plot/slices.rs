//! What the surrogate believes along each parameter through one sampler.

use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Circle, DrawingArea, IntoDrawingArea, LineSeries, PathElement, Polygon, Rectangle, SVGBackend,
};
use plotters::style::{Color, WHITE};

use super::PlotError;
use super::style::{
    BLUE, CAPTION_PX, GRID, INK, LABEL_PX, MUTED, ORANGE, TITLE_PX, bold, centre_middle, left_middle, px, text,
};
use crate::space::Parameter;
use crate::target::Metric;

const WIDTH_PX: u32 = 960;
const HEAD_PX: u32 = 66;
const PANEL_HEIGHT_PX: u32 = 210;
const PANELS_A_ROW: usize = 4;

/// The posterior at one value of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlicePoint {
    /// The parameter's value.
    pub value: f64,
    /// μ, a share.
    pub mean: f64,
    /// σ, a share.
    pub sd: f64,
}

/// The posterior along one parameter, the others being those of the sampler it goes through.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// The parameter.
    pub parameter: Parameter,
    /// Ascending; values at which there is no sampler worth a trial are left out.
    pub points: Vec<SlicePoint>,
    /// The sampler's own value.
    pub here: SlicePoint,
}

/// What the picture shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Slices {
    /// Heading.
    pub title: String,
    /// One a parameter.
    pub slices: Vec<Slice>,
    /// Mean objective of the uniform sampler, a share.
    pub uniform: Option<f64>,
    /// What objectives measure.
    pub metric: Metric,
}

impl Slices {
    /// Draws the picture.
    ///
    /// # Errors
    /// [`PlotError`] when there are no slices.
    pub fn svg(&self) -> Result<String, PlotError> {
        if self.slices.is_empty() {
            return Err(PlotError::Empty("there are no slices"));
        }
        let range = self.range();
        let rows = u32::try_from(self.slices.len().div_ceil(PANELS_A_ROW)).unwrap_or(1);
        let mut svg = String::new();
        {
            let size = (WIDTH_PX, HEAD_PX + rows * PANEL_HEIGHT_PX);
            let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            root.fill(&WHITE)?;
            let (head, below) = root.split_vertically(HEAD_PX);
            head.draw_text(&self.title, &centre_middle(&bold(TITLE_PX)), (px(f64::from(WIDTH_PX) / 2.0), 24))?;
            self.draw_legend(&head)?;
            let panels = below.split_evenly((rows as usize, PANELS_A_ROW));
            for (index, (panel, slice)) in panels.iter().zip(&self.slices).enumerate() {
                self.draw_panel(panel, slice, range, index.is_multiple_of(PANELS_A_ROW))?;
            }
            root.present()?;
        }
        Ok(svg)
    }

    /// One range for all panels, in percent.
    fn range(&self) -> (f64, f64) {
        let ends = self
            .slices
            .iter()
            .flat_map(|slice| slice.points.iter().chain([&slice.here]))
            .flat_map(|point| [100.0 * (point.mean - point.sd), 100.0 * (point.mean + point.sd)]);
        let all: Vec<f64> = ends.chain(self.uniform.map(|uniform| 100.0 * uniform)).collect();
        let low = all.iter().copied().fold(f64::INFINITY, f64::min);
        let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let room = 0.06 * (high - low).max(0.5);
        (low - room, high + room)
    }

    fn draw_panel(
        &self,
        area: &DrawingArea<SVGBackend<'_>, Shift>,
        slice: &Slice,
        (low, high): (f64, f64),
        first: bool,
    ) -> Result<(), PlotError> {
        let parameter = &slice.parameter;
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(14)
            .x_label_area_size(42)
            .y_label_area_size(58)
            .build_cartesian_2d(parameter.low..parameter.high, low..high)?;
        let label = format!("{} {}", parameter.name, parameter.feature);
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh()
            .bold_line_style(GRID)
            .max_light_lines(0)
            .axis_style(MUTED)
            .x_labels(3)
            .y_labels(5)
            .x_label_formatter(&|x| format!("{x:.1}"))
            .y_label_formatter(&|y| format!("{y:.1}"))
            .label_style(text(LABEL_PX, MUTED))
            .axis_desc_style(text(CAPTION_PX, INK))
            .x_desc(label.trim());
        if first {
            mesh.y_desc(self.metric.axis());
        }
        mesh.draw()?;
        for run in runs(&slice.points) {
            let edge = |sign: f64| run.iter().map(move |point| (point.value, 100.0 * (point.mean + sign * point.sd)));
            let outline: Vec<(f64, f64)> = edge(1.0).chain(edge(-1.0).rev()).collect();
            chart.draw_series([Polygon::new(outline, BLUE.mix(0.15))])?;
            chart.draw_series(LineSeries::new(
                run.iter().map(|point| (point.value, 100.0 * point.mean)),
                BLUE.stroke_width(2),
            ))?;
        }
        if let Some(uniform) = self.uniform {
            let line = [(parameter.low, 100.0 * uniform), (parameter.high, 100.0 * uniform)];
            chart.draw_series(LineSeries::new(line, MUTED.stroke_width(1)))?;
        }
        chart.draw_series([Circle::new((slice.here.value, 100.0 * slice.here.mean), 4, ORANGE.filled())])?;
        Ok(())
    }

    fn draw_legend(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), PlotError> {
        let style = left_middle(&text(LABEL_PX, INK));
        let y = 50;
        area.draw(&Rectangle::new([(250, y - 6), (274, y + 6)], BLUE.mix(0.15).filled()))?;
        area.draw(&PathElement::new(vec![(250, y), (274, y)], BLUE.stroke_width(2)))?;
        area.draw_text("posterior mean ± sd", &style, (282, y))?;
        area.draw(&Circle::new((452, y), 4, ORANGE.filled()))?;
        area.draw_text("the sampler", &style, (464, y))?;
        if self.uniform.is_some() {
            area.draw(&PathElement::new(vec![(576, y), (600, y)], MUTED.stroke_width(1)))?;
            area.draw_text("uniform sampler, measured", &style, (608, y))?;
        }
        Ok(())
    }
}

/// Stretches of neighbouring points: where samplers are not worth a trial there is a gap.
fn runs(points: &[SlicePoint]) -> Vec<&[SlicePoint]> {
    let step = points.windows(2).map(|pair| pair[1].value - pair[0].value).fold(f64::INFINITY, f64::min);
    points.chunk_by(|a, b| b.value - a.value < 1.5 * step).filter(|run| run.len() > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_the_values_is_a_gap_in_the_line() {
        let point = |value| SlicePoint { value, mean: 0.8, sd: 0.01 };
        let points: Vec<SlicePoint> = [0.0, 0.1, 0.2, 0.5, 0.6].into_iter().map(point).collect();
        assert_eq!(runs(&points).iter().map(|run| run.len()).collect::<Vec<_>>(), [3, 2]);
        assert!(runs(&points[..1]).is_empty());
    }
}
