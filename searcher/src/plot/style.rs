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
