//! The sampler itself: how much more or less often than uniformly it draws which examples.

use plotters::coord::Shift;
use plotters::prelude::{
    AreaSeries, ChartBuilder, DrawingArea, IntoDrawingArea, LineSeries, PathElement, Rectangle, SVGBackend,
};
use plotters::style::{Color, RGBColor, WHITE};
use swift_sampler::{Dataset, FeatureTableError, Sampler};

use super::PlotError;
use super::style::{BLUE, CAPTION_PX, GRID, HISTOGRAM, INK, LABEL_PX, MUTED, NOISY, TITLE_PX, bold, left_middle, text};

/// Bins of the histograms.
const BINS: usize = 40;
/// Points of the curve over T.
const CURVE_POINTS: usize = 401;
const WIDTH_PX: u32 = 960;
const MAIN_HEIGHT_PX: u32 = 380;
const FEATURE_HEIGHT_PX: u32 = 270;
const FEATURES_A_ROW: usize = 3;
/// The histograms stand behind the curve in the lower part of a panel.
const HISTOGRAM_SHARE: f64 = 0.55;

/// How a sampler weighs examples of one feature's percentiles.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureCurve {
    /// The feature.
    pub name: String,
    /// Mean probability, relative to uniform, in equal bins of the percentile.
    pub relative: Vec<f64>,
    /// Share of each bin's examples with a wrong label, where that is known.
    pub noisy: Option<Vec<f64>>,
}

/// What the picture of a sampler shows.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplerCurve {
    /// Heading.
    pub title: String,
    /// (T, probability relative to uniform), left to right; empty for samplers that have no T.
    pub curve: Vec<(f64, f64)>,
    /// Share of all examples in equal bins of T.
    pub examples: Vec<f64>,
    /// The part of them with a wrong label, where that is known.
    pub noisy: Option<Vec<f64>>,
    /// One a feature.
    pub features: Vec<FeatureCurve>,
}

impl SamplerCurve {
    /// Measures a sampler on its dataset; `noisy` tells which labels are wrong, where that is known. O(N n log n).
    ///
    /// # Errors
    /// [`FeatureTableError`] when `features` names an unknown column.
    pub fn measure(
        title: String,
        sampler: &Sampler,
        dataset: &Dataset,
        features: &[String],
        noisy: Option<&[bool]>,
    ) -> Result<Self, FeatureTableError> {
        let rows = dataset.rows();
        let relative: Vec<f64> = sampler.probabilities().iter().map(|p| p * rows as f64).collect();
        let columns: Vec<&[f64]> =
            features.iter().map(|name| dataset.table().column(name)).collect::<Result<_, _>>()?;
        let mut curve = Vec::new();
        let (mut examples, mut wrong) = (vec![0.0; BINS], vec![0.0; BINS]);
        if let Some(function) = sampler.function() {
            let mut weight_sum = 0.0;
            for row in 0..rows {
                let raw: Vec<f64> = columns.iter().map(|column| column[row]).collect();
                // Fails only for another number of features than the sampler's, whose names these are.
                let Ok(place) = function.place(&raw) else { break };
                weight_sum += function.step().at(place);
                let bin = bin_of(place);
                examples[bin] += 1.0 / rows as f64;
                if noisy.is_some_and(|noisy| noisy[row]) {
                    wrong[bin] += 1.0 / rows as f64;
                }
            }
            let mean = weight_sum / rows as f64;
            curve = (0..CURVE_POINTS)
                .map(|i| i as f64 / (CURVE_POINTS - 1) as f64)
                .map(|t| (t, function.step().at(t) / mean))
                .collect();
        }
        let by_feature = features
            .iter()
            .zip(&columns)
            .map(|(name, column)| FeatureCurve::measure(name, column, &relative, noisy))
            .collect();
        Ok(Self { title, curve, examples, noisy: noisy.map(|_| wrong), features: by_feature })
    }

    /// Draws the picture.
    ///
    /// # Errors
    /// [`PlotError`] when there is nothing to draw.
    pub fn svg(&self) -> Result<String, PlotError> {
        if self.features.is_empty() {
            return Err(PlotError::Empty("the sampler has no features"));
        }
        let rows = u32::try_from(self.features.len().div_ceil(FEATURES_A_ROW)).unwrap_or(1);
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (WIDTH_PX, MAIN_HEIGHT_PX + rows * FEATURE_HEIGHT_PX))
                .into_drawing_area();
            root.fill(&WHITE)?;
            let (top, below) = root.split_vertically(MAIN_HEIGHT_PX);
            self.draw_main(&top)?;
            let columns = self.features.len().min(FEATURES_A_ROW);
            for (area, feature) in below.split_evenly((rows as usize, columns)).iter().zip(&self.features) {
                draw_feature(area, feature)?;
            }
            root.present()?;
        }
        Ok(svg)
    }

    fn draw_main(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), PlotError> {
        let highest = ceiling(self.curve.iter().map(|point| point.1));
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, bold(TITLE_PX))
            .margin(14)
            .x_label_area_size(46)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..1.0, 0.0..highest)?;
        let tallest = self.examples.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let scale = HISTOGRAM_SHARE * highest / tallest;
        chart.draw_series(bars(&self.examples, scale, HISTOGRAM))?;
        if let Some(noisy) = &self.noisy {
            chart.draw_series(bars(noisy, scale, NOISY))?;
        }
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .max_light_lines(0)
            .axis_style(MUTED)
            .label_style(text(LABEL_PX, MUTED))
            .axis_desc_style(text(CAPTION_PX, INK))
            .x_desc("T(G(x)): quantile of an example along the sampler's direction")
            .y_desc("probability / uniform")
            .draw()?;
        chart.draw_series(LineSeries::new([(0.0, 1.0), (1.0, 1.0)], MUTED.stroke_width(1)))?;
        chart.draw_series(LineSeries::new(self.curve.iter().copied(), BLUE.stroke_width(3)))?;
        let mut entries = vec![("found", BLUE), ("before: uniform", MUTED), ("examples", HISTOGRAM)];
        if self.noisy.is_some() {
            entries.push(("of which mislabelled", NOISY));
        }
        draw_legend(area, &entries)
    }
}

impl FeatureCurve {
    fn measure(name: &str, column: &[f64], relative: &[f64], noisy: Option<&[bool]>) -> Self {
        let mut order: Vec<usize> = (0..column.len()).collect();
        order.sort_by(|&a, &b| column[a].total_cmp(&column[b]));
        let (mut sums, mut wrong, mut counts) = (vec![0.0; BINS], vec![0.0; BINS], vec![0.0; BINS]);
        for (rank, &row) in order.iter().enumerate() {
            let bin = rank * BINS / column.len();
            sums[bin] += relative[row];
            counts[bin] += 1.0;
            if noisy.is_some_and(|noisy| noisy[row]) {
                wrong[bin] += 1.0;
            }
        }
        // Fewer examples than bins leave some empty; those show zero.
        let mean = |sums: Vec<f64>| sums.iter().zip(&counts).map(|(sum, count)| sum / f64::max(*count, 1.0)).collect();
        Self { name: name.to_owned(), relative: mean(sums), noisy: noisy.map(|_| mean(wrong)) }
    }
}

fn draw_feature(area: &DrawingArea<SVGBackend<'_>, Shift>, feature: &FeatureCurve) -> Result<(), PlotError> {
    let highest = ceiling(feature.relative.iter().copied());
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .x_label_area_size(42)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..100.0, 0.0..highest)?;
    let width = 100.0 / feature.relative.len() as f64;
    if let Some(noisy) = &feature.noisy {
        chart.draw_series(noisy.iter().enumerate().map(|(bin, share)| {
            let left = bin as f64 * width;
            Rectangle::new([(left, 0.0), (left + width, share * highest)], NOISY.filled())
        }))?;
    }
    let shading = if feature.noisy.is_some() { " (bars: share mislabelled, full height = all)" } else { "" };
    let description = format!("percentile of {}{shading}", feature.name);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GRID)
        .max_light_lines(0)
        .axis_style(MUTED)
        .x_labels(6)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_labels(5)
        .label_style(text(LABEL_PX, MUTED))
        .axis_desc_style(text(CAPTION_PX, INK))
        .x_desc(description)
        .y_desc("probability / uniform")
        .draw()?;
    chart.draw_series(LineSeries::new([(0.0, 1.0), (100.0, 1.0)], MUTED.stroke_width(1)))?;
    let points: Vec<(f64, f64)> =
        feature.relative.iter().enumerate().map(|(bin, y)| ((bin as f64 + 0.5) * width, *y)).collect();
    chart.draw_series(AreaSeries::new(points.iter().copied(), 0.0, BLUE.mix(0.08)))?;
    chart.draw_series(LineSeries::new(points, BLUE.stroke_width(2)))?;
    Ok(())
}

fn bars(shares: &[f64], scale: f64, colour: RGBColor) -> impl Iterator<Item = Rectangle<(f64, f64)>> {
    let width = 1.0 / shares.len() as f64;
    shares.iter().enumerate().map(move |(bin, share)| {
        let left = bin as f64 * width;
        Rectangle::new([(left + 0.06 * width, 0.0), (left + 0.94 * width, share * scale)], colour.filled())
    })
}

fn draw_legend(area: &DrawingArea<SVGBackend<'_>, Shift>, entries: &[(&str, RGBColor)]) -> Result<(), PlotError> {
    /// Swatch, gap and space to the next entry.
    const AROUND_PX: i32 = 24 + 22;
    /// A character of a label, about.
    const CHARACTER_PX: i32 = 7;
    let width = |label: &str| AROUND_PX + CHARACTER_PX * i32::try_from(label.len()).unwrap_or(0);
    let style = left_middle(&text(LABEL_PX, INK));
    let mut left = i32::try_from(WIDTH_PX).unwrap_or(0) - entries.iter().map(|(label, _)| width(label)).sum::<i32>();
    for (label, colour) in entries {
        area.draw(&PathElement::new(vec![(left, 60), (left + 18, 60)], colour.stroke_width(4)))?;
        area.draw_text(label, &style, (left + 24, 60))?;
        left += width(label);
    }
    Ok(())
}

fn bin_of(place: f64) -> usize {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 ..= BINS")]
    let bin = (place.clamp(0.0, 1.0) * BINS as f64) as usize;
    bin.min(BINS - 1)
}

/// A little above the highest value and the uniform line.
fn ceiling(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(1.4, f64::max) * 1.12
}
