# Which vendors' modules are built. Each of LULL_CUDA, LULL_HIP and LULL_MUSA is
#   AUTO  when the vendor's headers are found (MUSA: always, against declarations of our own where
#         there is no SDK)
#   ON    or it is an error
#   OFF   never
# AUTO is the default, OFF where lull is part of another project.
# Only headers are needed: no module links a vendor's library.

include_guard(GLOBAL)

if(lull_is_top_level)
  set(lull_vendor_default AUTO)
else()
  set(lull_vendor_default OFF)
endif()
foreach(vendor IN ITEMS CUDA HIP MUSA)
  # Before CMake 3.21 this would remove a variable of the same name that a host project has set.
  if(NOT DEFINED LULL_${vendor})
    set(LULL_${vendor} ${lull_vendor_default} CACHE STRING
      "Build the ${vendor} module: AUTO, ON or OFF")
    set_property(CACHE LULL_${vendor} PROPERTY STRINGS AUTO ON OFF)
  endif()
endforeach()

# lull_find_vendor(<vendor> <header> HINTS <folder>...): sets lull_<vendor>_include and
# lull_<vendor>_found.
function(lull_find_vendor vendor header)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "HINTS")
  string(TOLOWER ${vendor} lower)
  set(lull_${lower}_found FALSE PARENT_SCOPE)
  if(LULL_${vendor} STREQUAL "OFF")
    return()
  endif()
  find_path(lull_${lower}_include ${header} HINTS ${arg_HINTS} PATH_SUFFIXES include)
  mark_as_advanced(lull_${lower}_include)
  if(lull_${lower}_include)
    set(lull_${lower}_found TRUE PARENT_SCOPE)
  elseif(LULL_${vendor} STREQUAL "ON")
    message(FATAL_ERROR "LULL_${vendor} is ON, but ${header} was not found in: ${arg_HINTS}")
  endif()
endfunction()

# CMake's own FindCUDAToolkit insists on nvcc, which a module does not need.
lull_find_vendor(CUDA cuda_runtime_api.h
  HINTS $ENV{CUDA_PATH} $ENV{CUDA_HOME} ${CUDAToolkit_ROOT} /usr/local/cuda)
# Debian's find_package(hip) fails for want of a compiler runtime that a module does not need.
lull_find_vendor(HIP hip/hip_runtime_api.h HINTS $ENV{ROCM_PATH} $ENV{HIP_PATH} /opt/rocm)
if(LULL_MUSA STREQUAL "OFF")
  set(lull_musa_found FALSE)
else()
  find_path(lull_musa_include musa_runtime_api.h
    HINTS $ENV{MUSA_PATH} $ENV{MUSA_HOME} /usr/local/musa PATH_SUFFIXES include)
  mark_as_advanced(lull_musa_include)
  if(LULL_MUSA STREQUAL "ON" AND NOT lull_musa_include)
    message(FATAL_ERROR "LULL_MUSA is ON, but musa_runtime_api.h was not found at MUSA_PATH, "
      "MUSA_HOME or /usr/local/musa")
  endif()
  set(lull_musa_found TRUE)
endif()

set(lull_vendors "")
foreach(vendor IN ITEMS cuda hip musa)
  if(lull_${vendor}_found)
    list(APPEND lull_vendors ${vendor})
  endif()
endforeach()
