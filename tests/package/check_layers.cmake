# Reads the #include lines below ${root} and fails where one goes against the layers of
# docs/architecture.md: a layer may include itself and what it USES, nothing else.

cmake_minimum_required(VERSION 3.25)

# layer(<name> PATHS <regex>... [USES <layer>...])
function(layer name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "PATHS;USES")
  list(JOIN arg_PATHS "|" paths)
  set(layer_paths_${name} "^(${paths})$" PARENT_SCOPE)
  set(layer_uses_${name} ${name} ${arg_USES} PARENT_SCOPE)
  set(layers ${layers} ${name} PARENT_SCOPE)
endfunction()

set(vocabulary c_vocabulary vocabulary)
layer(c_vocabulary PATHS "include/lull/(export|once|status|units|version)\\.h"
    "include/lull/detail/requires_cxx17\\.hpp")
layer(vocabulary PATHS "include/lull/(bytes|clock|error|log|stop)\\.hpp" "src/vocabulary/.*"
  USES c_vocabulary)
layer(abi PATHS "include/lull/backend(_module)?\\.h" "include/lull/backend\\.hpp"
    "include/lull/detail/backend_operations\\.h"
  USES c_vocabulary)

# Modules know the ABI and one vendor, and nothing of the library that loads them.
set(vendors cuda hip musa)
layer(backend_common PATHS "backends/common/.*"
  USES c_vocabulary abi)
foreach(backend IN LISTS vendors)
  layer(backend_${backend} PATHS "backends/${backend}/.*"
    USES c_vocabulary abi backend_common)
endforeach()

layer(host PATHS "src/host/.*"
  USES ${vocabulary} abi)
set(foundation ${vocabulary} abi core report)
layer(core PATHS "include/lull/(device|registry)\\.hpp" "src/core/.*"
  USES ${vocabulary} abi host)
layer(report PATHS "include/lull/report\\.hpp" "src/report/.*"
  USES ${vocabulary} core)
layer(settle PATHS "include/lull/settle\\.hpp" "src/settle/.*"
  USES ${foundation})
layer(reset PATHS "include/lull/(context|reset)\\.hpp" "src/reset/.*"
  USES ${foundation} settle)
layer(memory PATHS "include/lull/(file_source|host_arena|memory)\\.hpp" "src/memory/.*"
  USES ${foundation} reset)
layer(graphs PATHS
    "include/lull/(graph_cache|graph_driver|host_graph|detail/graph_entry)\\.hpp" "src/graphs/.*"
  USES ${foundation} reset)
layer(process PATHS "include/lull/(process|rebirth|suspend)\\.hpp" "src/process/.*"
  USES ${foundation} settle)
set(mechanisms settle reset memory graphs process)
layer(policy PATHS "include/lull/(participant|sleep_plan|sleeper)\\.hpp" "src/policy/.*"
  USES ${foundation} ${mechanisms})
layer(budget PATHS "include/lull/budget(_plan)?\\.hpp" "src/budget/.*"
  USES ${foundation} settle)
layer(c_api PATHS "include/lull/(graph_cache|log|lull)\\.h" "include/lull/c/.*\\.h"
  USES c_vocabulary abi)
layer(faces PATHS "include/lull/(lull|raii)\\.hpp" "src/capi/.*"
  USES ${foundation} ${mechanisms} policy budget c_api)

set(vendor_headers_cuda "(cuda|cublas|cudnn|cufft|cupti|curand|cusolver|cusparse|nccl|nvml|nvrtc)")
set(vendor_headers_hip "(hip|hsa|rocm|rocblas|rccl|amd_smi|amdgpu)")
set(vendor_headers_musa "(musa|mublas|mudnn|mufft|mtml|mccl)")
set(c_headers "(errno|inttypes|stdarg|stdbool|stddef|stdint|stdio|stdlib|string)\\.h")

set(failures 0)
function(fail message)
  message(SEND_ERROR "${file}: ${message}")
  math(EXPR count "${failures} + 1")
  set(failures ${count} PARENT_SCOPE)
endfunction()

# layer_of(<result> <path below root>): empty when it belongs to none.
function(layer_of result path)
  set(${result} "" PARENT_SCOPE)
  foreach(name IN LISTS layers)
    if(path MATCHES "${layer_paths_${name}}")
      set(${result} ${name} PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

# resolve(<result> <including file> <name>): the path below root of an include in quotes.
function(resolve result including name)
  get_filename_component(folder ${including} DIRECTORY)
  foreach(candidate IN ITEMS ${folder}/${name} src/${name} backends/${name} include/${name})
    if(EXISTS ${root}/${candidate})
      cmake_path(SET path NORMALIZE ${candidate})
      set(${result} ${path} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  set(${result} "" PARENT_SCOPE)
endfunction()

# A macro, so that the counts of fail() reach the caller.
macro(check_own_include included)
  layer_of(target ${included})
  if(NOT target)
    fail("includes ${included}, which belongs to no layer")
  elseif(NOT target IN_LIST layer_uses_${own})
    fail("includes ${included}: '${own}' may not use '${target}'")
  endif()
endmacro()

macro(check_foreign_include header)
  foreach(vendor IN LISTS vendors)
    if("${header}" MATCHES "^${vendor_headers_${vendor}}" AND NOT own STREQUAL backend_${vendor})
      fail("includes <${header}>: only backends/${vendor} may use headers of ${vendor}")
    endif()
  endforeach()
  if("${file}" MATCHES "^include/" AND "${header}" MATCHES "[./]"
      AND NOT "${header}" MATCHES "^${c_headers}$")
    fail("includes <${header}>: a public header needs only lull and the standard library")
  endif()
endmacro()

file(GLOB_RECURSE files RELATIVE ${root}
  ${root}/include/*.h ${root}/include/*.hpp
  ${root}/src/*.c ${root}/src/*.cpp ${root}/src/*.h ${root}/src/*.hpp
  ${root}/backends/*.c ${root}/backends/*.cpp ${root}/backends/*.h ${root}/backends/*.hpp)
set(include_count 0)
foreach(file IN LISTS files)
  layer_of(own ${file})
  if(NOT own)
    fail("belongs to no layer: say in check_layers.cmake to which")
    continue()
  endif()
  file(STRINGS ${root}/${file} includes REGEX "^[ \t]*#[ \t]*include")
  foreach(line IN LISTS includes)
    math(EXPR include_count "${include_count} + 1")
    if(line MATCHES "<(lull/[^>]+)>")
      check_own_include(include/${CMAKE_MATCH_1})
    elseif(line MATCHES "<([^>]+)>")
      check_foreign_include("${CMAKE_MATCH_1}")
    elseif(line MATCHES "\"([^\"]+)\"")
      set(name ${CMAKE_MATCH_1})
      resolve(path ${file} ${name})
      if(path)
        check_own_include(${path})
      else()
        fail("includes \"${name}\", which is nowhere")
      endif()
    else()
      fail("cannot read the line '${line}'")
    endif()
  endforeach()
endforeach()

if(include_count EQUAL 0)
  message(FATAL_ERROR "no #include found below ${root}")
endif()
if(failures GREATER 0)
  message(FATAL_ERROR "${failures} includes against the layers")
endif()
list(LENGTH files file_count)
message(STATUS "${file_count} files, ${include_count} includes, all within the layers")
