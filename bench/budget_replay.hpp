#ifndef BENCH_BUDGET_REPLAY_HPP
#define BENCH_BUDGET_REPLAY_HPP

/// @file
/// Traces of requests, replayed in virtual time against a budget and against what it is measured
/// by: plain least recently used, by a count of models and by their bytes.

namespace bench {

/// Registers a case for each trace and contestant: "replay, steady/lull". What comes of a replay is
/// in its counters.
void register_replays();
/// What they came to, as a table.
void print_replays();

}  // namespace bench

#endif  // BENCH_BUDGET_REPLAY_HPP
