#pragma once

/// Everything that a handler's source usually needs.
#include <weft/async.hpp>
#include <weft/byte_range.hpp>
#include <weft/cause.hpp>
#include <weft/conditional_request.hpp>
#include <weft/entity_tag.hpp>
#include <weft/http_context.hpp>
#include <weft/http_exception.hpp>
#include <weft/http_handler.hpp>
#include <weft/http_utility.hpp>
#include <weft/module.hpp>
#include <weft/multipart_reader.hpp>
