#pragma once

#include <doctest/doctest.h>

#include <utility>
#include <vector>

// How a failed CHECK shows pairs and vectors, which doctest by itself writes as {?}.
namespace doctest {

template <typename First, typename Second>
struct StringMaker<std::pair<First, Second>> {
  static String convert(const std::pair<First, Second>& value) {
    return "(" + toString(value.first) + ", " + toString(value.second) + ")";
  }
};

template <typename Item>
struct StringMaker<std::vector<Item>> {
  static String convert(const std::vector<Item>& items) {
    String text = "[";
    for (const auto& item : items) {
      text += text.size() == 1 ? "" : ", ";
      text += toString(item);
    }
    return text + "]";
  }
};

}  // namespace doctest
