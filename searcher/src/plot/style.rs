//! Colours and type shared by the pictures. The palette is Okabe and Ito's, told apart by colour-blind readers.

use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, RGBColor, TextStyle};

pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(super) const SKY: RGBColor = RGBColor(86, 180, 233);
pub(super) const ORANGE: RGBColor = RGBColor(230, 120, 0);
pub(super) const VERMILION: RGBColor = RGBColor(213, 94, 0);
pub(super) const GREEN: RGBColor = RGBColor(0, 140, 105);
pub(super) const INK: RGBColor = RGBColor(40, 44, 52);
pub(super) const MUTED: RGBColor = RGBColor(120, 126, 136);
pub(super) const GRID: RGBColor = RGBColor(228, 231, 235);
pub(super) const HISTOGRAM: RGBColor = RGBColor(205, 214, 224);
pub(super) const NOISY: RGBColor = RGBColor(240, 190, 165);

pub(super) const TITLE_PX: u32 = 19;
pub(super) const LABEL_PX: u32 = 13;
pub(super) const CAPTION_PX: u32 = 14;

/// Fallbacks as CSS has them, so that a browser picks a plain face.
const FACE: &str = "Helvetica, Arial, DejaVu Sans, sans-serif";

pub(super) fn text(size_px: u32, colour: RGBColor) -> TextStyle<'static> {
    TextStyle { color: colour.to_backend_color(), ..TextStyle::from((FACE, size_px)) }
}

pub(super) fn bold(size_px: u32) -> TextStyle<'static> {
    TextStyle { color: INK.to_backend_color(), ..TextStyle::from((FACE, size_px, FontStyle::Bold)) }
}

pub(super) fn left_middle(style: &TextStyle<'static>) -> TextStyle<'static> {
    style.pos(Pos::new(HPos::Left, VPos::Center))
}

pub(super) fn centre_middle(style: &TextStyle<'static>) -> TextStyle<'static> {
    style.pos(Pos::new(HPos::Center, VPos::Center))
}

pub(super) fn right_middle(style: &TextStyle<'static>) -> TextStyle<'static> {
    style.pos(Pos::new(HPos::Right, VPos::Center))
}

/// The worst and the best of what is told apart by colour: one hue, so that darker is better to every reader.
const WORST: RGBColor = RGBColor(205, 222, 238);
const BEST: RGBColor = RGBColor(0, 66, 122);

/// Returns the colour of a share of the way from worst to best.
pub(super) fn graded(share: f64) -> RGBColor {
    let share = share.clamp(0.0, 1.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two bytes")]
    let mixed = |worst: u8, best: u8| (f64::from(worst) + share * (f64::from(best) - f64::from(worst))).round() as u8;
    RGBColor(mixed(WORST.0, BEST.0), mixed(WORST.1, BEST.1), mixed(WORST.2, BEST.2))
}

/// Pixels of a drawing.
#[allow(clippy::cast_possible_truncation, reason = "a drawing has some thousand pixels")]
pub(super) fn px(position: f64) -> i32 {
    position.round() as i32
}
