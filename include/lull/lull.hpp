#ifndef LULL_LULL_HPP
#define LULL_LULL_HPP

/// @file
/// All of lull's C++ API.

#include <lull/budget.hpp>
#include <lull/budget_plan.hpp>
#include <lull/bytes.hpp>
#include <lull/clock.hpp>
#include <lull/context.hpp>
#include <lull/detail/requires_cxx17.hpp>
#include <lull/device.hpp>
#include <lull/error.hpp>
#include <lull/graph_cache.hpp>
#include <lull/graph_driver.hpp>
#include <lull/host_graph.hpp>
#include <lull/log.hpp>
#include <lull/memory.hpp>
#include <lull/participant.hpp>
#include <lull/process.hpp>
#include <lull/rebirth.hpp>
#include <lull/registry.hpp>
#include <lull/report.hpp>
#include <lull/reset.hpp>
#include <lull/settle.hpp>
#include <lull/sleep_plan.hpp>
#include <lull/sleeper.hpp>
#include <lull/stop.hpp>
#include <lull/suspend.hpp>
#include <lull/version.h>

#endif  // LULL_LULL_HPP
