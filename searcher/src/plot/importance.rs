//! How much each parameter matters to the objective, by what the surrogate believes.

use plotters::prelude::{IntoDrawingArea, Rectangle, SVGBackend};
use plotters::style::{Color, WHITE};

use super::PlotError;
use super::style::{
    BLUE, CAPTION_PX, INK, LABEL_PX, MUTED, TITLE_PX, bold, centre_middle, left_middle, px, right_middle, text,
};
use crate::space::Parameter;

const WIDTH_PX: u32 = 960;
const HEAD_PX: u32 = 62;
const ROW_PX: u32 = 27;
const LEFT_PX: i32 = 150;
const BAR_MAX_PX: f64 = 700.0;

/// What the picture shows.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportanceBars {
    /// Heading.
    pub title: String,
    /// The parameters.
    pub parameters: Vec<Parameter>,
    /// Total effect of each: the share of the objective's variance over the cube that goes when the parameter is known.
    pub shares: Vec<f64>,
}

impl ImportanceBars {
    /// Draws the picture.
    ///
    /// # Errors
    /// [`PlotError`] when nothing matters, as when the surrogate is constant.
    pub fn svg(&self) -> Result<String, PlotError> {
        let largest = self.shares.iter().copied().fold(0.0, f64::max);
        if largest <= 0.0 {
            return Err(PlotError::Empty("the surrogate is constant"));
        }
        let rows = u32::try_from(self.parameters.len()).unwrap_or(0);
        let mut svg = String::new();
        {
            let size = (WIDTH_PX, HEAD_PX + rows * ROW_PX + 48);
            let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            root.fill(&WHITE)?;
            root.draw_text(&self.title, &centre_middle(&bold(TITLE_PX)), (px(f64::from(WIDTH_PX) / 2.0), 28))?;
            let (name, value) = (right_middle(&text(CAPTION_PX, INK)), left_middle(&text(LABEL_PX, MUTED)));
            let mut y = i32::try_from(HEAD_PX + ROW_PX / 2).unwrap_or(0);
            for (parameter, share) in self.parameters.iter().zip(&self.shares) {
                let label = format!("{} {}", parameter.feature, parameter.name);
                root.draw_text(label.trim(), &name, (LEFT_PX - 12, y))?;
                let right = LEFT_PX + px(BAR_MAX_PX * share / largest);
                root.draw(&Rectangle::new([(LEFT_PX, y - 8), (right, y + 8)], BLUE.filled()))?;
                root.draw_text(&format!("{:.0}%", 100.0 * share), &value, (right + 8, y))?;
                y += i32::try_from(ROW_PX).unwrap_or(0);
            }
            let note = "share of the posterior mean's variance over the cube that the parameter takes part in \
                        (total effect; with interactions the shares add up to more than 100%)";
            root.draw_text(note, &centre_middle(&text(LABEL_PX, MUTED)), (px(f64::from(WIDTH_PX) / 2.0), y + 14))?;
            root.present()?;
        }
        Ok(svg)
    }
}
