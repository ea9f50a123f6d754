//! Where wrong labels lie over two features, beside how often a sampler draws there (the paper's Figure 1).

use plotters::coord::Shift;
use plotters::prelude::{ChartBuilder, DrawingArea, IntoDrawingArea, Rectangle, SVGBackend};
use plotters::style::{Color, WHITE};
use swift_sampler::{Dataset, FeatureTableError, Sampler};

use super::PlotError;
use super::style::{CAPTION_PX, INK, LABEL_PX, MUTED, TITLE_PX, bold, centre_middle, graded, left_middle, px, text};

/// Cells along each axis.
const SIDE: usize = 24;
const WIDTH_PX: u32 = 960;
const HEIGHT_PX: u32 = 560;
const TITLE_HEIGHT_PX: u32 = 44;
const SCALE_HEIGHT_PX: u32 = 54;
/// Steps of a colour scale.
const SCALE_STEPS: i32 = 40;

/// Two maps over the percentiles of two features, in cells of equal width; row 0 holds the lowest of the second feature.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// Heading.
    pub title: String,
    /// The features along x and y.
    pub features: [String; 2],
    /// Share of all examples in a cell.
    pub examples: Vec<f64>,
    /// Share of a cell's examples with a wrong label, where that is known; of an empty cell 0.
    pub noisy: Option<Vec<f64>>,
    /// Mean probability of a cell's examples, relative to uniform; of an empty cell 0.
    pub relative: Vec<f64>,
    /// How well a low probability tells wrong labels from right ones, where these are known.
    pub auroc: Option<f64>,
}

impl HeatMap {
    /// Measures a sampler on its dataset; `noisy` tells which labels are wrong and `auroc` how well the sampler does, where
    /// that is known. O(N log N).
    ///
    /// # Errors
    /// [`FeatureTableError`] when a feature is an unknown column.
    pub fn measure(
        title: String,
        sampler: &Sampler,
        dataset: &Dataset,
        features: [&str; 2],
        noisy: Option<(&[bool], Option<f64>)>,
    ) -> Result<Self, FeatureTableError> {
        let rows = dataset.rows();
        let x = bins(dataset.table().column(features[0])?);
        let y = bins(dataset.table().column(features[1])?);
        let (mut counts, mut wrong, mut mass) =
            (vec![0.0; SIDE * SIDE], vec![0.0; SIDE * SIDE], vec![0.0; SIDE * SIDE]);
        for (row, probability) in sampler.probabilities().iter().enumerate() {
            let cell = y[row] * SIDE + x[row];
            counts[cell] += 1.0;
            mass[cell] += probability * rows as f64;
            if noisy.is_some_and(|(noisy, _)| noisy[row]) {
                wrong[cell] += 1.0;
            }
        }
        let mean = |sums: Vec<f64>| sums.iter().zip(&counts).map(|(sum, count)| sum / f64::max(*count, 1.0)).collect();
        Ok(Self {
            title,
            features: features.map(str::to_owned),
            noisy: noisy.map(|_| mean(wrong)),
            relative: mean(mass),
            examples: counts.iter().map(|count| count / rows as f64).collect(),
            auroc: noisy.and_then(|(_, auroc)| auroc),
        })
    }

    /// Draws the picture.
    ///
    /// # Errors
    /// [`PlotError`] when there is nothing to draw.
    pub fn svg(&self) -> Result<String, PlotError> {
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (WIDTH_PX, HEIGHT_PX)).into_drawing_area();
            root.fill(&WHITE)?;
            let (title, maps) = root.split_vertically(TITLE_HEIGHT_PX);
            title.draw_text(
                &self.heading(),
                &left_middle(&bold(TITLE_PX)),
                (16, px(f64::from(TITLE_HEIGHT_PX) / 2.0)),
            )?;
            let (left, right) = maps.split_horizontally(WIDTH_PX / 2);
            match &self.noisy {
                Some(noisy) => self.draw_map(&left, "share of wrong labels", noisy, 1.0)?,
                None => self.draw_map(&left, "share of the examples", &self.examples, highest(&self.examples))?,
            }
            self.draw_map(&right, "probability / uniform", &self.relative, highest(&self.relative))?;
            root.present()?;
        }
        Ok(svg)
    }

    fn heading(&self) -> String {
        match self.auroc {
            Some(auroc) => format!("{}, tells wrong labels with AUROC {auroc:.3}", self.title),
            None => self.title.clone(),
        }
    }

    fn draw_map(
        &self,
        area: &DrawingArea<SVGBackend<'_>, Shift>,
        what: &str,
        values: &[f64],
        full: f64,
    ) -> Result<(), PlotError> {
        let (scale, map) = area.split_vertically(SCALE_HEIGHT_PX);
        draw_scale(&scale, what, full)?;
        let mut chart = ChartBuilder::on(&map)
            .margin(14)
            .x_label_area_size(46)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..100.0, 0.0..100.0)?;
        let width = 100.0 / SIDE as f64;
        chart.draw_series((0..SIDE * SIDE).filter(|cell| self.examples[*cell] > 0.0).map(|cell| {
            let (left, low) = ((cell % SIDE) as f64 * width, (cell / SIDE) as f64 * width);
            Rectangle::new([(left, low), (left + width, low + width)], graded(values[cell] / full).filled())
        }))?;
        chart
            .configure_mesh()
            .disable_mesh()
            .axis_style(MUTED)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .label_style(text(LABEL_PX, MUTED))
            .axis_desc_style(text(CAPTION_PX, INK))
            .x_desc(format!("percentile of {}", self.features[0]))
            .y_desc(format!("percentile of {}", self.features[1]))
            .draw()?;
        Ok(())
    }
}

/// The colours from zero to `full`, and what they mean.
fn draw_scale(area: &DrawingArea<SVGBackend<'_>, Shift>, what: &str, full: f64) -> Result<(), PlotError> {
    const LEFT: i32 = 72;
    const STEP: i32 = 4;
    const MIDDLE: i32 = 34;
    for step in 0..SCALE_STEPS {
        let left = LEFT + step * STEP;
        let colour = graded(f64::from(step) / f64::from(SCALE_STEPS - 1));
        area.draw(&Rectangle::new([(left, MIDDLE - 6), (left + STEP, MIDDLE + 6)], colour.filled()))?;
    }
    let style = text(LABEL_PX, INK);
    area.draw_text(what, &left_middle(&style), (LEFT, MIDDLE - 20))?;
    area.draw_text("0", &centre_middle(&style), (LEFT - 10, MIDDLE))?;
    area.draw_text(&format!("{full:.2}"), &left_middle(&style), (LEFT + SCALE_STEPS * STEP + 8, MIDDLE))?;
    Ok(())
}

/// The cell of each value along an axis, by its rank; equal values share the cell of the lowest.
fn bins(column: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..column.len()).collect();
    order.sort_by(|&a, &b| column[a].total_cmp(&column[b]));
    let mut bins = vec![0; column.len()];
    let mut first = 0;
    for (rank, &row) in order.iter().enumerate() {
        if column[row] > column[order[first]] {
            first = rank;
        }
        bins[row] = first * SIDE / column.len();
    }
    bins
}

fn highest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::MIN_POSITIVE, f64::max)
}
