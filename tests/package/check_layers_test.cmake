# Shows that check_layers.cmake accepts a sound tree and reports each kind of violation.

cmake_minimum_required(VERSION 3.25)

# check(<output> <code> [<path> <include>]): runs the check on a sound tree and one more file.
function(check output code)
  file(REMOVE_RECURSE ${scratch})
  foreach(sound IN ITEMS
      "include/lull/status.h|<lull/export.h>" "include/lull/error.hpp|<lull/status.h>"
      "include/lull/memory.hpp|<lull/error.hpp>" "include/lull/sleeper.hpp|<lull/memory.hpp>"
      "src/policy/gate.hpp|<lull/sleeper.hpp>" "src/policy/gate.cpp|\"policy/gate.hpp\""
      "src/memory/region.hpp|<vector>" "src/graphs/pool.hpp|<vector>" "backends/cuda/api.hpp|<cuda_runtime_api.h>"
      "backends/cuda/module.cpp|\"api.hpp\"")
    string(REPLACE "|" ";" sound ${sound})
    list(POP_FRONT sound path include)
    file(WRITE ${scratch}/${path} "#include ${include}\n")
  endforeach()
  if(ARGC GREATER 2)
    file(APPEND ${scratch}/${ARGV2} "  #  include ${ARGV3}  // why\n")
  endif()
  execute_process(COMMAND ${CMAKE_COMMAND} -D root=${scratch} -P ${script}
    OUTPUT_VARIABLE text ERROR_VARIABLE text RESULT_VARIABLE result)
  # Messages are wrapped at the width of a terminal.
  string(REGEX REPLACE "[ \n]+" " " text "${text}")
  set(${output} "${text}" PARENT_SCOPE)
  set(${code} ${result} PARENT_SCOPE)
endfunction()

# rejects(<path> <include> <words>): that line in that file is reported with these words.
function(rejects path include words)
  check(text code ${path} ${include})
  string(FIND "${text}" "${path}: ${words}" at)
  if(code EQUAL 0 OR at EQUAL -1)
    message(SEND_ERROR "${path} with ${include}: exit ${code}, not '${words}' but:\n${text}")
  endif()
endfunction()

check(text code)
if(NOT code EQUAL 0)
  message(SEND_ERROR "the sound tree is rejected:\n${text}")
endif()

rejects(include/lull/error.hpp <lull/memory.hpp> "includes include/lull/memory.hpp: 'vocabulary'")
rejects(include/lull/memory.hpp <lull/sleeper.hpp> "includes include/lull/sleeper.hpp: 'memory'")
rejects(include/lull/memory.hpp <fmt/format.h> "includes <fmt/format.h>: a public header")
rejects(include/lull/status.h <lull/error.hpp> "includes include/lull/error.hpp: 'c_vocabulary'")
rejects(include/lull/novelty.hpp <vector> "belongs to no layer")
rejects(src/memory/region.cpp "\"policy/gate.hpp\"" "includes src/policy/gate.hpp: 'memory'")
rejects(src/memory/region.cpp "\"../policy/gate.hpp\"" "includes src/policy/gate.hpp:")
rejects(src/policy/gate.cpp "\"cuda/api.hpp\"" "includes backends/cuda/api.hpp: 'policy'")
rejects(src/policy/gate.cpp <cuda_runtime_api.h> "includes <cuda_runtime_api.h>: only backends/cuda")
rejects(src/policy/gate.cpp "\"policy/missing.hpp\"" "includes \"policy/missing.hpp\", which is nowhere")
rejects(src/novelty/new.cpp <vector> "belongs to no layer")
rejects(src/host/host.cpp <lull/sleeper.hpp> "includes include/lull/sleeper.hpp: 'host'")
rejects(src/memory/region.cpp "\"graphs/pool.hpp\"" "includes src/graphs/pool.hpp: 'memory'")
rejects(src/process/child.hpp <lull/memory.hpp> "includes include/lull/memory.hpp: 'process'")
rejects(backends/hip/module.cpp <lull/error.hpp> "includes include/lull/error.hpp: 'backend_hip'")
rejects(backends/hip/module.cpp "\"cuda/api.hpp\"" "includes backends/cuda/api.hpp: 'backend_hip'")
rejects(backends/hip/module.cpp <nvml.h> "includes <nvml.h>: only backends/cuda")
rejects(backends/common/vmm.hpp <hip/hip_runtime_api.h> "includes <hip/hip_runtime_api.h>: only")
