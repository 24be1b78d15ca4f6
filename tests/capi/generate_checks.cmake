# cmake -D root=<repository> -D output=<folder> -P generate_checks.cmake: reads the C API's headers and
# writes what the tests of this folder check of every function and of every enumeration in them, so
# that the next one is covered. What it cannot read it refuses by name.
#
#   null_checks.inc          a line for each function: its parameters, and which of them may be null,
#                            as the comment above it says
#   enumerator_checks.inc    a line for each enumerator: that C and C++ mean the same number by it

cmake_minimum_required(VERSION 3.25)

set(include ${root}/include/lull)
file(GLOB parts ${include}/c/*.h)
set(headers ${parts} ${include}/backend.h ${include}/graph_cache.h ${include}/log.h
  ${include}/once.h ${include}/status.h ${include}/version.h)

# Which enumeration of C++ each of C is, where that is, and what the names in C begin with. "-": C++
# has none.
set(enumerations
  "lull_backing_kind      backing_store::kind  memory.hpp    LULL_BACKING_"
  "lull_capability        capability           device.hpp    LULL_CAP_"
  "lull_contents_action   contents_action      memory.hpp    LULL_CONTENTS_"
  "lull_context_action    context_action       sleep_plan.hpp LULL_CONTEXT_"
  "lull_device_type       device_type          device.hpp    LULL_DEVICE_"
  "lull_exit_kind         exit_status::kind    process.hpp   LULL_EXIT_"
  "lull_gpu_state         gpu_state            device.hpp    LULL_GPU_STATE_"
  "lull_lease_use         lease_use            sleeper.hpp   LULL_USE_"
  "lull_log_level         log_level            log.hpp       LULL_LOG_"
  "lull_memory_source     memory_source        device.hpp    LULL_SOURCE_"
  "lull_model_state       model_state          budget_plan.hpp LULL_MODEL_STATE_"
  "lull_module_state      module_state         registry.hpp  LULL_MODULE_"
  "lull_plan_outcome      plan_outcome         budget_plan.hpp LULL_PLAN_OUTCOME_"
  "lull_process_state     process_state        process.hpp   LULL_PROCESS_"
  "lull_residency         residency            memory.hpp    LULL_RESIDENCY_"
  "lull_settle_gain       settle_gain          settle.hpp    LULL_GAIN_"
  "lull_settle_skip       settle_skip          settle.hpp    LULL_SKIP_"
  "lull_settle_status     settle_status        settle.hpp    LULL_SETTLE_"
  "lull_settle_verdict    settle_verdict       settle.hpp    LULL_VERDICT_"
  "lull_sleep_level       sleep_level          sleep_plan.hpp LULL_LEVEL_"
  "lull_sleep_state       sleep_state          sleeper.hpp   LULL_STATE_"
  "lull_standard_stream   -                    -             LULL_STANDARD_"
  "lull_status            status               error.hpp     LULL_(ERROR_)?"
  "lull_stdio             child_stream         process.hpp   LULL_STDIO_"
  "lull_suspend_step      suspend_progress::step suspend.hpp LULL_SUSPEND_"
  "lull_tristate          tristate             device.hpp    LULL_TRISTATE_")

# Semicolons and brackets mean something to CMake's lists.
string(ASCII 1 semicolon)

# read(<result> <file>)
function(read result path)
  file(READ ${path} text)
  string(REPLACE ";" "${semicolon}" text "${text}")
  string(REPLACE "[" "(" text "${text}")
  string(REPLACE "]" ")" text "${text}")
  set(${result} "${text}" PARENT_SCOPE)
endfunction()

function(write path text)
  string(REPLACE "${semicolon}" ";" text "${text}")
  file(WRITE ${path} "${text}")
endfunction()

# --- Functions ---------------------------------------------------------------------------------------

# may_be_null(<result> <comment> <parameter>): what is handed on to a callback always may.
function(may_be_null result comment parameter)
  set(${result} FALSE PARENT_SCOPE)
  if(parameter STREQUAL "user" OR
      comment MATCHES "`${parameter}` [(]?may be null" OR
      comment MATCHES "@param ${parameter} ([^@]*[^@a-z])?may be null")
    set(${result} TRUE PARENT_SCOPE)
  endif()
endfunction()

# check_function(<result> <comment and declaration>)
function(check_function result text)
  string(REGEX MATCHALL "///[^\n]*" comment "${text}")
  string(JOIN " " comment ${comment})
  string(REGEX REPLACE "[ ]*///[ ]*" " " comment "${comment}")
  string(REGEX REPLACE "///[^\n]*" "" declaration "${text}")
  string(REGEX REPLACE "[ \n]+" " " declaration "${declaration}")
  string(STRIP "${declaration}" declaration)
  if(NOT declaration MATCHES
      "^LULL_API [a-z_0-9 *]*[ *](lull_[a-z_0-9]+)\\(([a-z_0-9 *,]+)\\)${semicolon}$")
    message(FATAL_ERROR "cannot read this declaration: ${declaration}")
  endif()
  set(function ${CMAKE_MATCH_1})
  set(list "${CMAKE_MATCH_2}")
  set(names "")
  if(NOT list STREQUAL "void")
    string(REPLACE "," ";" list "${list}")
    foreach(parameter IN LISTS list)
      if(NOT parameter MATCHES "[ *]([a-z_0-9]+)$")
        message(FATAL_ERROR "${function}: cannot read the parameter '${parameter}'")
      endif()
      set(name ${CMAKE_MATCH_1})
      may_be_null(optional "${comment}" ${name})
      if(optional)
        list(APPEND names "{\"${name}\", true}")
      else()
        list(APPEND names "{\"${name}\", false}")
      endif()
    endforeach()
  endif()
  string(JOIN ", " names ${names})
  set(${result} "check(\"${function}\", &${function}, {${names}})${semicolon}\n" PARENT_SCOPE)
endfunction()

set(checks "")
set(comment_line "///[^\n]*\n")
foreach(header IN LISTS headers)
  read(text ${header})
  string(REGEX MATCHALL "LULL_API " expected "${text}")
  string(REGEX MATCHALL "(${comment_line})*LULL_API [^${semicolon}]*${semicolon}" found "${text}")
  list(LENGTH expected expected_count)
  list(LENGTH found found_count)
  if(NOT expected_count EQUAL found_count)
    message(FATAL_ERROR "${header}: ${expected_count} times LULL_API, but ${found_count} functions")
  endif()
  foreach(each IN LISTS found)
    check_function(line "${each}")
    string(APPEND checks "${line}")
  endforeach()
endforeach()
write(${output}/null_checks.inc "${checks}")

# --- Enumerators -------------------------------------------------------------------------------------

# enumerators_in(<result> <text between the braces>): their names.
function(enumerators_in result body)
  string(REGEX REPLACE "//[^\n]*" "" body "${body}")
  string(REGEX REPLACE "=[^,]*" "" body "${body}")
  string(REGEX MATCHALL "[A-Za-z_0-9]+" names "${body}")
  set(${result} "${names}" PARENT_SCOPE)
endfunction()

# check_enumeration(<result> <name in C> <text between the braces>)
function(check_enumeration result type body)
  set(known ${enumerations})
  list(FILTER known INCLUDE REGEX "^${type} ")
  if(NOT known MATCHES "^[^ ]+ +([^ ]+) +([^ ]+) +([^ ]+)$")
    message(FATAL_ERROR "${type}: say in generate_checks.cmake which enumeration of C++ it is")
  endif()
  set(cpp_type ${CMAKE_MATCH_1})
  set(cpp_header ${CMAKE_MATCH_2})
  set(prefix ${CMAKE_MATCH_3})

  set(checks "")
  set(c_names "")
  enumerators_in(enumerators "${body}")
  foreach(enumerator IN LISTS enumerators)
    if(NOT enumerator MATCHES "^${prefix}")
      message(FATAL_ERROR "${enumerator} of ${type} does not begin with ${prefix}")
    endif()
    string(REGEX REPLACE "^${prefix}" "" name ${enumerator})
    string(TOLOWER ${name} name)
    list(APPEND c_names ${name})
    string(APPEND checks "same(${enumerator}, lull::${cpp_type}::${name})${semicolon}\n")
  endforeach()
  if(cpp_type STREQUAL "-")
    set(${result} "" PARENT_SCOPE)
    return()
  endif()

  string(REGEX REPLACE ".*::" "" cpp_name ${cpp_type})
  read(text ${include}/${cpp_header})
  if(NOT text MATCHES "enum class ${cpp_name}( : [a-z_:0-9]+)? {([^}]*)}")
    message(FATAL_ERROR "${cpp_header} has no enumeration ${cpp_type}")
  endif()
  enumerators_in(cpp_names "${CMAKE_MATCH_2}")
  list(SORT c_names)
  list(SORT cpp_names)
  if(NOT c_names STREQUAL cpp_names)
    message(FATAL_ERROR "${type} has ${c_names}, but lull::${cpp_type} has ${cpp_names}")
  endif()
  list(GET enumerators -1 last)
  string(APPEND checks "last<lull::${cpp_type}>(${last})${semicolon}\n")
  set(${result} "${checks}" PARENT_SCOPE)
endfunction()

set(checks "")
foreach(header IN LISTS headers)
  read(text ${header})
  string(REGEX MATCHALL "typedef enum " expected "${text}")
  string(REGEX MATCHALL "typedef enum lull_[a-z_]+( LULL_ENUM_BASE)? {[^}]*}" found "${text}")
  list(LENGTH expected expected_count)
  list(LENGTH found found_count)
  if(NOT expected_count EQUAL found_count)
    message(FATAL_ERROR "${header}: ${expected_count} enumerations, but ${found_count} can be read")
  endif()
  foreach(each IN LISTS found)
    string(REGEX MATCH "typedef enum (lull_[a-z_]+)[^{]*{([^}]*)}" matched "${each}")
    check_enumeration(lines ${CMAKE_MATCH_1} "${CMAKE_MATCH_2}")
    string(APPEND checks "${lines}")
  endforeach()
endforeach()
write(${output}/enumerator_checks.inc "${checks}")
