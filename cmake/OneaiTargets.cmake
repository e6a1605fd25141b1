# cc_library(NAME HDRS SRCS DEPS), cc_binary, cc_test, cc_benchmark, proto_library.
#
# A target is named after its package, the first folder below src/ (or kernels, proto): NAME store in
# src/base/store becomes target base_store with alias base::store. NAMEs are unique within a package.
# Sources are listed, never globbed; direct dependencies are spelled out.

set(ONEAI_WARNINGS -Wall -Wextra -Werror -Wno-missing-field-initializers
    $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>)

function(_oneai_package out)
  file(RELATIVE_PATH rel "${CMAKE_SOURCE_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}")
  string(REGEX REPLACE "^(src|tests|benchmarks)/" "" rel "${rel}")
  string(REGEX REPLACE "/.*$" "" rel "${rel}")
  set(${out} "${rel}" PARENT_SCOPE)
endfunction()

function(_oneai_configure target scope)
  target_include_directories(${target} ${scope} "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}")
  if(NOT scope STREQUAL "INTERFACE")
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:C,CXX>:${ONEAI_WARNINGS}>)
  endif()
endfunction()

# One precompiled header for all targets that use LibTorch: it costs 25 s and 600 MB, once.
function(_oneai_torch_pch)
  if(TARGET oneai_torch_pch)
    return()
  endif()
  add_library(oneai_torch_pch STATIC "${CMAKE_SOURCE_DIR}/cmake/torch_pch.cc")
  target_link_libraries(oneai_torch_pch PRIVATE oneai_torch)
  target_precompile_headers(oneai_torch_pch PRIVATE "${CMAKE_SOURCE_DIR}/cmake/torch_pch.h")
  # GCC refuses a precompiled header that was made with other warning options turned into errors.
  target_compile_options(oneai_torch_pch PRIVATE ${ONEAI_WARNINGS})
endfunction()

# ThreadSanitizer cannot see the locks of a distribution's Abseil by itself: a program brings their order along.
function(_oneai_show_locks target)
  if(ONEAI_SANITIZE MATCHES "thread")
    target_sources(${target} PRIVATE "${CMAKE_SOURCE_DIR}/tests/testing/tsan_absl_mutex.cc")
    target_link_libraries(${target} PRIVATE absl::synchronization ${CMAKE_DL_LIBS})
  endif()
endfunction()

function(cc_library)
  cmake_parse_arguments(A "TORCH" "NAME" "HDRS;SRCS;DEPS" ${ARGN})
  _oneai_package(package)
  set(target "${package}_${A_NAME}")
  if(A_SRCS)
    add_library(${target} STATIC ${A_SRCS} ${A_HDRS})
    set(scope PUBLIC)
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  _oneai_configure(${target} ${scope})
  target_link_libraries(${target} ${scope} ${A_DEPS})
  if(A_TORCH)
    target_link_libraries(${target} ${scope} oneai_torch)
    if(A_SRCS)
      _oneai_torch_pch()
      target_precompile_headers(${target} REUSE_FROM oneai_torch_pch)
    endif()
  endif()
  add_library(${package}::${A_NAME} ALIAS ${target})
endfunction()

# Binaries land in <build>/bin, side by side, so that `oneai up` finds its siblings.
function(cc_binary)
  cmake_parse_arguments(A "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${A_NAME} ${A_SRCS})
  _oneai_configure(${A_NAME} PRIVATE)
  target_link_libraries(${A_NAME} PRIVATE ${A_DEPS})
  _oneai_show_locks(${A_NAME})
  set_target_properties(${A_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
endfunction()

# LABELS: unit (default), integration, gpu, slow. TIMEOUT in seconds.
function(cc_test)
  cmake_parse_arguments(A "" "NAME;TIMEOUT" "SRCS;DEPS;LABELS" ${ARGN})
  _oneai_package(package)
  set(target "${package}_${A_NAME}")
  add_executable(${target} ${A_SRCS})
  _oneai_configure(${target} PRIVATE)
  target_link_libraries(${target} PRIVATE ${A_DEPS} GTest::gmock GTest::gtest GTest::gtest_main)
  _oneai_show_locks(${target})
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  add_test(NAME ${target} COMMAND ${target} WORKING_DIRECTORY "${CMAKE_BINARY_DIR}")
  if(NOT A_LABELS)
    set(A_LABELS unit)
  endif()
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  set(environment "ONEAI_SOURCE_DIR=${CMAKE_SOURCE_DIR};ONEAI_BIN_DIR=${CMAKE_BINARY_DIR}/bin;ONEAI_SHARED_DIR=${ONEAI_SHARED_DIR}")
  if(ONEAI_SANITIZE MATCHES "thread")
    list(APPEND environment "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/testing/tsan.supp")
  endif()
  set_tests_properties(${target} PROPERTIES LABELS "${A_LABELS}" TIMEOUT ${A_TIMEOUT} ENVIRONMENT "${environment}")
endfunction()

function(cc_benchmark)
  cmake_parse_arguments(A "" "NAME" "SRCS;DEPS" ${ARGN})
  _oneai_package(package)
  set(target "${package}_${A_NAME}")
  add_executable(${target} ${A_SRCS})
  _oneai_configure(${target} PRIVATE)
  target_link_libraries(${target} PRIVATE ${A_DEPS} benchmark::benchmark)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/benchmarks")
endfunction()

# proto_library(NAME fabric SRCS oneai/fabric/v1/job.proto ... DEPS proto::x): C++ messages and gRPC
# services; include as "oneai/fabric/v1/job.pb.h" and "oneai/fabric/v1/job.grpc.pb.h".
function(proto_library)
  cmake_parse_arguments(A "" "NAME" "SRCS;DEPS" ${ARGN})
  set(target "proto_${A_NAME}")
  set(out "${CMAKE_BINARY_DIR}/gen")
  file(MAKE_DIRECTORY "${out}")
  set(generated)
  foreach(src ${A_SRCS})
    string(REGEX REPLACE "\\.proto$" "" stem "${src}")
    set(files "${out}/${stem}.pb.cc" "${out}/${stem}.pb.h" "${out}/${stem}.grpc.pb.cc" "${out}/${stem}.grpc.pb.h")
    add_custom_command(
      OUTPUT ${files}
      COMMAND protobuf::protoc --proto_path=${CMAKE_SOURCE_DIR}/proto --cpp_out=${out}
              --grpc_out=${out} --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN} ${src}
      DEPENDS "${CMAKE_SOURCE_DIR}/proto/${src}"
      COMMENT "protoc ${src}")
    list(APPEND generated ${files})
  endforeach()
  add_library(${target} STATIC ${generated})
  target_include_directories(${target} SYSTEM PUBLIC "${out}")
  target_link_libraries(${target} PUBLIC ${A_DEPS} protobuf::libprotobuf PkgConfig::GRPC)
  add_library(proto::${A_NAME} ALIAS ${target})
endfunction()
