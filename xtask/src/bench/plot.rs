//! Line charts as SVG: a few series over one axis, readable on light and dark pages.

use std::fmt::Write as _;

use super::target::number;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const TICKS: u32 = 5;
const COLOURS: [&str; 4] = ["#2563eb", "#dc2626", "#059669", "#9333ea"];

pub struct Chart<'a> {
    pub title: &'a str,
    pub x: &'a str,
    pub y: &'a str,
    /// Name and points.
    pub series: Vec<(&'a str, Vec<(f64, f64)>)>,
}

impl Chart<'_> {
    /// Both axes begin at 0.
    pub fn render(&self) -> String {
        let points = || self.series.iter().flat_map(|(_, points)| points);
        let most = |values: &mut dyn Iterator<Item = f64>| round_up(values.fold(0.0, f64::max));
        let (most_x, most_y) = (most(&mut points().map(|point| point.0)), most(&mut points().map(|point| point.1)));
        let x = |value: f64| LEFT + value / most_x * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / most_y * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        let text = |svg: &mut String, x: f64, y: f64, anchor: &str, colour: &str, text: &str| {
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{}</text>",
                escape(text)
            );
        };
        text(&mut svg, WIDTH / 2.0, 20.0, "middle", "black", self.title);
        text(&mut svg, WIDTH / 2.0, HEIGHT - 10.0, "middle", "#444", self.x);
        text(&mut svg, 8.0, TOP - 14.0, "start", "#444", self.y);
        for tick in 0..=TICKS {
            let share = f64::from(tick) / f64::from(TICKS);
            let (at_x, at_y) = (x(share * most_x), y(share * most_y));
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {at_y:.1}H{:.1}M{at_x:.1} {TOP}V{:.1}\" stroke=\"#ddd\"/>",
                WIDTH - RIGHT,
                HEIGHT - BOTTOM
            );
            text(&mut svg, LEFT - 8.0, at_y + 4.0, "end", "#444", &number(share * most_y));
            text(&mut svg, at_x, HEIGHT - BOTTOM + 18.0, "middle", "#444", &number(share * most_x));
        }
        for ((name, points), colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let line: Vec<String> = points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                line.join(" ")
            );
            for point in points {
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                    x(point.0),
                    y(point.1)
                );
            }
            if let Some(last) = points.last() {
                text(&mut svg, x(last.0) + 8.0, y(last.1) + 4.0, "start", colour, name);
            }
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// Returns the next of 1, 2, 2.5, 5, 10, 20, …
fn round_up(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].iter().map(|step| step * power).find(|step| *step >= value).unwrap_or(10.0 * power)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_holds_its_points_and_names() {
        let series = vec![("p<50>", vec![(0.0, 0.0), (10.0, 1.0)]), ("empty", vec![])];
        let svg = Chart { title: "t", x: "rate", y: "ms", series }.render();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("points=\"70.0,310.0 610.0,40.0\""), "{svg}");
        assert!(svg.contains("p&lt;50&gt;") && !svg.contains("NaN"));
    }

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!([0.0, 0.7, 1.0, 13.0, 2100.0].map(round_up), [1.0, 1.0, 1.0, 20.0, 2500.0]);
    }
}
