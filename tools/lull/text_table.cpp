#include "text_table.hpp"

#include <lull/error.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>

#include <fmt/format.h>

namespace lull::tool {
namespace {

/// How many characters of UTF-8 text a terminal shows.
std::size_t shown_width(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

/// What comes from elsewhere, a process's name for example, must not tell a terminal what to do.
std::string printable(std::string text) {
  for (char& each : text) {
    if (static_cast<unsigned char>(each) < 0x20 || each == 0x7f) each = '?';
  }
  return text;
}

}  // namespace

text_table::text_table(std::vector<table_column> columns) : columns_(std::move(columns)) {
  std::vector<std::string> titles;
  for (const table_column& column : columns_) titles.push_back(column.title);
  rows_.push_back(std::move(titles));
}

void text_table::add(std::vector<std::string> cells) {
  if (cells.size() != columns_.size()) {
    throw error(status::invalid_argument, fmt::format("a row of {} cells in a table of {} columns",
                                                      cells.size(), columns_.size()));
  }
  for (std::string& each : cells) each = printable(std::move(each));
  rows_.push_back(std::move(cells));
}

std::string text_table::text() const {
  std::vector<std::size_t> widths(columns_.size());
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], shown_width(row[i]));
    }
  }
  std::string result;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - shown_width(row[i]), ' ');
      if (i > 0) line += "  ";
      line += columns_[i].align == table_column::side::left ? row[i] + padding : padding + row[i];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    result += line + '\n';
  }
  return result;
}

}  // namespace lull::tool
