//! The least and the most probable crops side by side (Figure 2).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageError};

use super::PlotError;
use crate::data::{ImageShape, LabelledImages};

const COLUMNS: usize = 8;
const ROWS: usize = 4;
/// Crops of each kind that are shown.
pub(crate) const SHOWN: usize = COLUMNS * ROWS;
const TILE_PX: usize = 48;
/// From one tile to the next, with the line below it.
const STEP_PX: (usize, usize) = (TILE_PX + 8, TILE_PX + 24);
const MARGIN_PX: usize = 20;
const HEAD_PX: usize = 74;
const PANEL_PX: usize = COLUMNS * STEP_PX.0;
const GAP_PX: usize = 40;
/// For pages of both kinds, on whose own background it stands.
const STYLE: &str = "text { font: 12px system-ui, sans-serif; fill: #1f2328 } .title { font-size: 17px; font-weight: 600 } \
     .panel { font-size: 14px } .below { font-size: 10px; fill: #59636e } image { image-rendering: pixelated } \
     @media (prefers-color-scheme: dark) { text { fill: #f0f6fc } .below { fill: #9198a1 } }";

/// Crops as a picture shows them.
#[derive(Debug, Clone, PartialEq)]
pub struct CropSheet {
    /// Heading.
    pub title: String,
    /// The least probable first.
    pub least: ShownCrops,
    /// The most probable first.
    pub most: ShownCrops,
}

/// Some crops; at most 32 are shown.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownCrops {
    /// Their pixels, which are bytes, and the labels that a network learns.
    pub images: LabelledImages,
    /// Probability of each relative to the uniform sampler's.
    pub relative: Vec<f64>,
}

impl CropSheet {
    /// Draws the picture. Images are PNG within it.
    ///
    /// # Errors
    /// [`PlotError`] when there are no crops, or crops whose pixels are no bytes of one or three channels.
    pub fn svg(&self) -> Result<String, PlotError> {
        if self.least.images.is_empty() || self.most.images.is_empty() {
            return Err(PlotError::Empty("there are no crops"));
        }
        let (width, height) = (2 * MARGIN_PX + 2 * PANEL_PX + GAP_PX, HEAD_PX + ROWS * STEP_PX.1 + MARGIN_PX);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
             <style>{STYLE}</style>\n<text class=\"title\" x=\"{MARGIN_PX}\" y=\"26\">{}</text>\n",
            escaped(&self.title)
        );
        let panels = [("least probable", &self.least), ("most probable", &self.most)];
        for (number, (name, crops)) in panels.into_iter().enumerate() {
            let left = MARGIN_PX + number * (PANEL_PX + GAP_PX);
            line(&mut svg, "panel", (left, 56), &format!("{name} crops: label, probability / uniform"));
            for tile in 0..crops.images.len().min(SHOWN) {
                let (x, y) = (left + tile % COLUMNS * STEP_PX.0, HEAD_PX + tile / COLUMNS * STEP_PX.1);
                let png = STANDARD.encode(crops.png(tile)?);
                writeln!(
                    svg,
                    "<image x=\"{x}\" y=\"{y}\" width=\"{TILE_PX}\" height=\"{TILE_PX}\" href=\"data:image/png;base64,{png}\"/>"
                )
                .expect("a string takes what is written");
                let below = format!("{}, {:.2}", crops.images.labels[tile], crops.relative[tile]);
                line(&mut svg, "below", (x, y + TILE_PX + 12), &below);
            }
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }
}

impl ShownCrops {
    fn png(&self, tile: usize) -> Result<Vec<u8>, PlotError> {
        let ImageShape { channels, height, width } = self.images.shape;
        let bytes = self.images.pixels.bytes().ok_or(PlotError::Empty("only pixels that are bytes can be shown"))?;
        let pixels = &bytes[tile * self.images.shape.pixels()..][..self.images.shape.pixels()];
        let colour = match channels {
            1 => ExtendedColorType::L8,
            3 => ExtendedColorType::Rgb8,
            _ => return Err(PlotError::Empty("only images of one or three channels can be shown")),
        };
        let plane = height * width;
        // Pixel by pixel instead of channel by channel.
        let interleaved: Vec<u8> =
            (0..plane).flat_map(|place| (0..channels).map(move |channel| pixels[channel * plane + place])).collect();
        let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        let mut png = Vec::new();
        PngEncoder::new(&mut png)
            .write_image(&interleaved, side(width), side(height), colour)
            .map_err(|error: ImageError| PlotError::Drawing(error.to_string()))?;
        Ok(png)
    }
}

fn line(svg: &mut String, class: &str, (x, y): (usize, usize), text: &str) {
    writeln!(svg, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escaped(text))
        .expect("a string takes what is written");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Values;

    fn shown(count: usize, channels: usize) -> ShownCrops {
        let shape = ImageShape { channels, height: 2, width: 3 };
        let pixels = (0..count * shape.pixels()).map(|value| u8::try_from(value % 251).unwrap()).collect();
        let images = LabelledImages::new(shape, Values::Bytes(pixels), vec![7; count]);
        ShownCrops { images, relative: vec![0.25; count] }
    }

    #[test]
    fn each_crop_is_an_image_that_holds_its_pixels_with_its_label_and_probability_below() {
        for channels in [1, 3] {
            let (least, most) = (shown(3, channels), shown(40, channels));
            let svg = CropSheet { title: "a < b".to_owned(), least: least.clone(), most }.svg().unwrap();
            assert_eq!(svg.matches("<image ").count(), 3 + SHOWN);
            assert_eq!(svg.matches(">7, 0.25</text>").count(), 3 + SHOWN);
            assert!(svg.contains("a &lt; b") && svg.contains("prefers-color-scheme: dark"));
            let start = svg.find("base64,").unwrap() + 7;
            let png = STANDARD.decode(&svg[start..start + svg[start..].find('"').unwrap()]).unwrap();
            let decoded = image::load_from_memory(&png).unwrap();
            assert_eq!((decoded.width(), decoded.height()), (3, 2));
            let (pixels, bytes) = (decoded.into_rgb8(), least.images.pixels.bytes().unwrap());
            let of_channel = |channel: usize| bytes[channel * 6 + 4];
            let expected = if channels == 3 { [0, 1, 2].map(of_channel) } else { [of_channel(0); 3] };
            assert_eq!(pixels.get_pixel(1, 1).0, expected);
        }
    }

    #[test]
    fn nothing_to_show_is_said() {
        let empty = || shown(0, 1);
        assert!(CropSheet { title: String::new(), least: empty(), most: empty() }.svg().is_err());
        assert!(CropSheet { title: String::new(), least: shown(1, 2), most: shown(1, 2) }.svg().is_err());
    }
}
