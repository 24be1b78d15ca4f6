# Compiles every public header alone, twice in a row, in each dialect that it promises: the C ones as C11
# and as C++11 to C++23 without exceptions and run-time types, the others as C++17 and C++20, and
# raii.hpp without exceptions and run-time types too.

file(GLOB headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/include
  ${PROJECT_SOURCE_DIR}/include/lull/*.h ${PROJECT_SOURCE_DIR}/include/lull/*.hpp
  ${PROJECT_SOURCE_DIR}/include/lull/c/*.h
  ${PROJECT_SOURCE_DIR}/include/lull/detail/*.h ${PROJECT_SOURCE_DIR}/include/lull/detail/*.hpp)

# header_units(<name> <language> <standard> <header>...): one target per dialect.
function(header_units name language standard)
  string(REPLACE "CXX" "cpp" extension ${language})
  string(TOLOWER ${extension} extension)
  set(units "")
  foreach(header IN LISTS ARGN)
    string(MAKE_C_IDENTIFIER ${header} unit)
    # ISO C wants a unit to declare something.
    file(CONFIGURE OUTPUT headers/${name}/${unit}.${extension} @ONLY CONTENT
"#include <@header@>
#include <@header@>
typedef int unit_declares_something;
")
    list(APPEND units ${CMAKE_CURRENT_BINARY_DIR}/headers/${name}/${unit}.${extension})
  endforeach()
  add_library(lull_headers_${name} OBJECT ${units})
  set_target_properties(lull_headers_${name} PROPERTIES
    ${language}_STANDARD ${standard}
    ${language}_STANDARD_REQUIRED ON
    ${language}_EXTENSIONS OFF)
  target_compile_options(lull_headers_${name} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wcast-qual)
  target_include_directories(lull_headers_${name} PRIVATE ${PROJECT_SOURCE_DIR}/include)
endfunction()

set(c_headers ${headers})
list(FILTER c_headers INCLUDE REGEX "\\.h$")
set(cxx_headers ${headers})
list(FILTER cxx_headers INCLUDE REGEX "\\.hpp$")
foreach(header IN LISTS cxx_headers)
  file(READ ${PROJECT_SOURCE_DIR}/include/${header} text)
  if(NOT text MATCHES "detail/requires_cxx17\\.hpp|LULL_DETAIL_REQUIRES_CXX17_HPP")
    message(SEND_ERROR "${header} does not say what it needs: include <lull/detail/requires_cxx17.hpp>")
  endif()
endforeach()

header_units(c11 C 11 ${c_headers})
foreach(standard IN ITEMS 11 14 17 20 23)
  # Alone in the oldest and the newest; what lies between has seen each of them through these.
  set(these ${c_headers})
  if(standard GREATER 11 AND standard LESS 23)
    set(these lull/lull.h lull/graph_cache.h lull/backend_module.h)
  endif()
  header_units(c_as_cxx${standard} CXX ${standard} ${these})
  target_compile_options(lull_headers_c_as_cxx${standard} PRIVATE -fno-exceptions -fno-rtti)
endforeach()
header_units(cxx17 CXX 17 ${cxx_headers})
header_units(cxx20 CXX 20 ${cxx_headers})
foreach(standard IN ITEMS 17 20)
  header_units(raii_cxx${standard} CXX ${standard} lull/raii.hpp)
  target_compile_options(lull_headers_raii_cxx${standard} PRIVATE -fno-exceptions -fno-rtti)
endforeach()

# What a C++ header says to a program in an older dialect.
add_test(NAME package.header_refuses_cxx14
  COMMAND ${CMAKE_CXX_COMPILER} -std=c++14 -fsyntax-only -I ${PROJECT_SOURCE_DIR}/include
    -include lull/bytes.hpp -x c++ /dev/null)
set_tests_properties(package.header_refuses_cxx14 PROPERTIES
  PASS_REGULAR_EXPRESSION "error[^\n]*this header needs C\\+\\+17")
