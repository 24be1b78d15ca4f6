#include "chart.hpp"

#include <lull/bytes.hpp>

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>

#include <fmt/format.h>

#include "axis.hpp"

namespace lull::demo {
namespace {

constexpr double width = 960;
constexpr double left = 84;  // of the plots; the vertical axis's texts are in front of it
constexpr double plot_right = 936;
constexpr double header_height = 104;
constexpr double panel_title_height = 30;
constexpr double plot_height = 170;
constexpr double panel_height = panel_title_height + plot_height + 34;
constexpr double footer_height = 30;

constexpr std::string_view ink = "#1f2328";
constexpr std::string_view faint_ink = "#59636e";
constexpr std::string_view grid = "#d1d9e0";
constexpr std::string_view line_colour = "#0969da";
constexpr std::string_view mark_line = "#bc4c00";

constexpr std::array all_kinds{phase_kind::start, phase_kind::awake, phase_kind::going_to_sleep,
                               phase_kind::asleep, phase_kind::waking};

constexpr std::string_view band_colour(phase_kind kind) {
  switch (kind) {
    case phase_kind::start: return "#eff2f5";
    case phase_kind::awake: return "#fff8c5";
    case phase_kind::going_to_sleep: return "#d8b9ff";
    case phase_kind::asleep: return "#ddf4ff";
    case phase_kind::waking: return "#aceebb";
  }
  return "#ffffff";
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '"': result += "&quot;"; break;
      default:
        // Control characters have no place in XML, escaped or not.
        if (static_cast<unsigned char>(c) >= 0x20) result += c;
    }
  }
  return result;
}

struct text_style {
  double size = 12;
  std::string_view anchor = "start";
  std::string_view colour = ink;
  bool bold = false;
};

/// An SVG document that grows element by element.
class drawing {
 public:
  explicit drawing(double height) {
    append(
        R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}")"
        R"( font-family="Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif">)",
        width, height);
    rectangle(0, 0, width, height, "#ffffff");
  }

  void rectangle(double x, double y, double w, double h, std::string_view colour) {
    append(R"(<rect x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}" fill="{}"/>)", x, y, w, h,
           colour);
  }

  void segment(double x1, double y1, double x2, double y2, std::string_view colour,
               std::string_view more = {}) {
    append(R"(<line x1="{:.2f}" y1="{:.2f}" x2="{:.2f}" y2="{:.2f}" stroke="{}"{}/>)", x1, y1, x2,
           y2, colour, more);
  }

  void text(double x, double y, std::string_view what, text_style style = {},
            std::string_view more = {}) {
    append(R"(<text x="{:.2f}" y="{:.2f}" font-size="{}" text-anchor="{}" fill="{}"{}{}>{}</text>)",
           x, y, style.size, style.anchor, style.colour, style.bold ? R"( font-weight="600")" : "",
           more, escaped(what));
  }

  void path(std::string_view steps, std::string_view attributes) {
    append(R"(<path d="{}" {}/>)", steps, attributes);
  }

  [[nodiscard]] std::string finished() && { return std::move(svg_) + "</svg>\n"; }

 private:
  template <class... Args>
  void append(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(svg_), format, std::forward<Args>(args)...);
    svg_ += '\n';
  }

  std::string svg_;
};

/// What all panels have in common.
struct scales {
  axis memory;
  axis time;

  [[nodiscard]] double x(seconds at) const {
    return left + std::clamp(at.count() / time.end, 0.0, 1.0) * (plot_right - left);
  }
  /// Height above the plot's lower edge.
  [[nodiscard]] double height(std::uint64_t bytes) const {
    return std::min(static_cast<double>(bytes) / memory.end, 1.0) * plot_height;
  }
};

scales scales_for(const chart& picture) {
  constexpr double headroom = 1.3;  // for the names of the phases above the line
  std::uint64_t largest = picture.mark_bytes;
  double longest = 0;
  for (const timeline& panel : picture.panels) {
    for (const memory_sample& one : panel.samples) {
      largest = std::max(largest, one.bytes);
      longest = std::max(longest, one.at.count());
    }
    for (const phase& one : panel.phases) longest = std::max(longest, one.end.count());
  }
  scales result{bytes_axis(largest), seconds_axis(longest)};
  result.memory.end = std::max(result.memory.end, static_cast<double>(largest) * headroom);
  return result;
}

/// Text that is cut off looks worse than none: about how wide a text is drawn.
double text_width(std::string_view text, double size) {
  constexpr double mean_glyph = 0.56;
  return static_cast<double>(text.size()) * size * mean_glyph;
}

void draw_phases(drawing& out, const timeline& panel, const scales& scale, double top) {
  constexpr double name_size = 12;
  constexpr double note_size = 11;
  for (const phase& one : panel.phases) {
    const double from = scale.x(one.begin);
    const double to = scale.x(one.end);
    out.rectangle(from, top, to - from, plot_height, band_colour(one.kind));
    const double middle = (from + to) / 2;
    const std::string_view name = to_string(one.kind);
    if (text_width(name, name_size) > to - from) continue;
    out.text(middle, top + 15, name, {.size = name_size, .anchor = "middle", .bold = true});
    if (text_width(one.note, note_size) > to - from) continue;
    out.text(middle, top + 30, one.note,
             {.size = note_size, .anchor = "middle", .colour = faint_ink});
  }
}

void draw_axes(drawing& out, const scales& scale, double top) {
  const double bottom = top + plot_height;
  for (const axis_tick& tick : scale.memory.ticks) {
    const double y = bottom - scale.height(static_cast<std::uint64_t>(tick.value));
    out.segment(left, y, plot_right, y, grid, R"( stroke-opacity="0.8")");
    out.text(left - 8, y + 4, tick.text, {.size = 11, .anchor = "end", .colour = faint_ink});
  }
  for (const axis_tick& tick : scale.time.ticks) {
    const double x = scale.x(seconds(tick.value));
    out.segment(x, bottom, x, bottom + 4, faint_ink);
    out.text(x, bottom + 17, tick.text, {.size = 11, .anchor = "middle", .colour = faint_ink});
  }
  out.segment(left, bottom, plot_right, bottom, faint_ink);
}

/// The line through all samples. Those that lie on a level stretch are left out.
std::string line_steps(const std::vector<memory_sample>& samples, const scales& scale,
                       double bottom) {
  std::string steps;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const bool inner = i > 0 && i + 1 < samples.size();
    if (inner && samples[i].bytes == samples[i - 1].bytes &&
        samples[i].bytes == samples[i + 1].bytes) {
      continue;
    }
    fmt::format_to(std::back_inserter(steps), "{}{:.1f},{:.1f}", steps.empty() ? "M" : " L",
                   scale.x(samples[i].at), bottom - scale.height(samples[i].bytes));
  }
  return steps;
}

void draw_samples(drawing& out, const timeline& panel, const scales& scale, double top) {
  if (panel.samples.empty()) {
    out.text((left + plot_right) / 2, top + plot_height / 2, "nothing was measured",
             {.anchor = "middle", .colour = faint_ink});
    return;
  }
  const double bottom = top + plot_height;
  const std::string steps = line_steps(panel.samples, scale, bottom);
  out.path(
      fmt::format("{} L{:.1f},{:.1f} L{:.1f},{:.1f} Z", steps, scale.x(panel.samples.back().at),
                  bottom, scale.x(panel.samples.front().at), bottom),
      fmt::format(R"(fill="{}" fill-opacity="0.14")", line_colour));
  out.path(steps, fmt::format(R"(fill="none" stroke="{}" stroke-width="2" stroke-linejoin="round")",
                              line_colour));
}

void draw_mark(drawing& out, std::uint64_t bytes, const scales& scale, double top) {
  if (bytes == 0) return;
  const double y = top + plot_height - scale.height(bytes);
  out.segment(left, y, plot_right, y, mark_line, R"( stroke-width="1.2" stroke-dasharray="6 4")");
}

void draw_panel(drawing& out, const chart& picture, const timeline& panel, const scales& scale,
                double top) {
  out.text(left, top + 20, panel.title, {.size = 14, .bold = true});
  const double plot_top = top + panel_title_height;
  draw_phases(out, panel, scale, plot_top);
  draw_axes(out, scale, plot_top);
  draw_mark(out, picture.mark_bytes, scale, plot_top);
  draw_samples(out, panel, scale, plot_top);
}

bool has_kind(const chart& picture, phase_kind kind) {
  return std::any_of(picture.panels.begin(), picture.panels.end(), [kind](const timeline& panel) {
    return std::any_of(panel.phases.begin(), panel.phases.end(),
                       [kind](const phase& one) { return one.kind == kind; });
  });
}

void draw_legend(drawing& out, const chart& picture, double y) {
  constexpr text_style style{.size = 12};
  constexpr double swatch = 22;
  constexpr double gap = 20;
  double x = left;
  const auto label = [&](std::string_view text) {
    out.text(x + swatch + 6, y + 4, text, style);
    x += swatch + 6 + text_width(text, style.size) + gap;
  };
  out.segment(x, y, x + swatch, y, line_colour, R"( stroke-width="2")");
  label(picture.series);
  if (picture.mark_bytes > 0) {
    out.segment(x, y, x + swatch, y, mark_line, R"( stroke-width="1.2" stroke-dasharray="6 4")");
    label(picture.mark);
  }
  for (const phase_kind kind : all_kinds) {
    if (!has_kind(picture, kind)) continue;
    out.rectangle(x, y - 7, swatch, 14, band_colour(kind));
    label(to_string(kind));
  }
}

}  // namespace

std::string to_svg(const chart& picture) {
  const scales scale = scales_for(picture);
  const double height =
      header_height + static_cast<double>(picture.panels.size()) * panel_height + footer_height;
  drawing out(height);
  out.text(left, 34, picture.title, {.size = 20, .bold = true});
  out.text(left, 56, picture.subtitle, {.size = 13, .colour = faint_ink});
  draw_legend(out, picture, 84);
  double top = header_height;
  for (const timeline& panel : picture.panels) {
    draw_panel(out, picture, panel, scale, top);
    top += panel_height;
  }
  out.text((left + plot_right) / 2, top + 4, "seconds since the server was started",
           {.anchor = "middle", .colour = faint_ink});
  const double middle = (header_height + top) / 2;
  out.text(20, middle, picture.series, {.anchor = "middle", .colour = faint_ink},
           fmt::format(R"svg( transform="rotate(-90 20 {:.2f})")svg", middle));
  return std::move(out).finished();
}

}  // namespace lull::demo
