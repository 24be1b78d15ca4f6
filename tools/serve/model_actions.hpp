#ifndef TOOLS_SERVE_MODEL_ACTIONS_HPP
#define TOOLS_SERVE_MODEL_ACTIONS_HPP

/// @file
/// What routes do with models, whichever interface they belong to.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "fleet.hpp"
#include "route_table.hpp"

namespace lull::serve {

/// A request goes on to the model of that name, or is refused with the names that there are.
[[nodiscard]] decision for_model(const fleet& models, const std::optional<std::string>& name,
                                 const std::string& target);
/// A part of a path is a model's name. @return null: there is none of that name
[[nodiscard]] std::shared_ptr<model> model_in_path(const fleet& models, std::string_view name);
/// A member of the query, or else of a JSON body.
[[nodiscard]] std::optional<std::string> member_of(const local_request& asked, const char* name);
/// The model that a request of the router's own names; the only one where there is but one.
/// @return null: `to` has been told why not
[[nodiscard]] std::shared_ptr<model> named_in(const fleet& models, const local_request& asked,
                                              const reply& to);

/// @param wait answers when it is ready, and not as soon as it has begun
void load(fleet& models, const std::shared_ptr<model>& which, const reply& to, bool wait);
void put_away(const std::shared_ptr<model>& which, std::size_t depth, bool force, const reply& to);
/// Its server ends.
void stop(const std::shared_ptr<model>& which, const reply& to);
/// To the level that the request names, or the parts of it that its tags name.
void sleep(const std::shared_ptr<model>& which, const local_request& asked, const reply& to);
/// All of it, or the parts that the request's tags name.
void wake(fleet& models, const std::shared_ptr<model>& which, const local_request& asked,
          const reply& to);
void stop_all(const fleet& models, const reply& to);

}  // namespace lull::serve

#endif  // TOOLS_SERVE_MODEL_ACTIONS_HPP
