# Compiles every public header alone, twice in a row, as C++20; the C ones as C11 too.

file(GLOB headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/include
  ${PROJECT_SOURCE_DIR}/include/lull/*.h ${PROJECT_SOURCE_DIR}/include/lull/*.hpp
  ${PROJECT_SOURCE_DIR}/include/lull/c/*.h
  ${PROJECT_SOURCE_DIR}/include/lull/detail/*.h ${PROJECT_SOURCE_DIR}/include/lull/detail/*.hpp)

set(header_units "")
foreach(header IN LISTS headers)
  set(languages cpp)
  if(header MATCHES "\\.h$")
    list(APPEND languages c)
  endif()
  string(MAKE_C_IDENTIFIER ${header} unit)
  foreach(language IN LISTS languages)
    # ISO C wants a unit to declare something.
    file(CONFIGURE OUTPUT headers/${unit}.${language} @ONLY CONTENT
"#include <@header@>
#include <@header@>
typedef int unit_declares_something;
")
    list(APPEND header_units ${CMAKE_CURRENT_BINARY_DIR}/headers/${unit}.${language})
  endforeach()
endforeach()

add_library(lull_header_units OBJECT ${header_units})
lull_target(lull_header_units)
set_target_properties(lull_header_units PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON)
target_include_directories(lull_header_units PRIVATE ${PROJECT_SOURCE_DIR}/include)
