#ifndef TOOLS_LULL_TEXT_TABLE_HPP
#define TOOLS_LULL_TEXT_TABLE_HPP

#include <cstdint>
#include <string>
#include <vector>

namespace lull::tool {

struct table_column {
  enum class side : std::uint8_t { left, right };

  std::string title;
  side align = side::left;
};

/// Rows of text under titles, in columns as wide as they must be.
class text_table {
 public:
  explicit text_table(std::vector<table_column> columns);

  /// @param cells one per column
  /// @throws error (invalid_argument) when there are more or fewer
  void add(std::vector<std::string> cells);

  /// The table, each line with its end and without trailing spaces.
  [[nodiscard]] std::string text() const;

 private:
  std::vector<table_column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace lull::tool

#endif  // TOOLS_LULL_TEXT_TABLE_HPP
