// A JSON object written field by field. One thread.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace hakmem::bench {

class Json {
 public:
  Json& text(std::string_view key, std::string_view value) {
    return raw(key, quoted(value));
  }
  Json& number(std::string_view key, std::uint64_t value) { return raw(key, std::to_string(value)); }
  // Whole numbers as they are, others to six digits.
  Json& number(std::string_view key, double value) {
    char digits[40];
    const bool whole = std::fabs(value) < 9e15 && value == std::trunc(value);
    std::snprintf(digits, sizeof digits, whole ? "%.0f" : "%.6g", value);
    return raw(key, digits);
  }
  Json& raw(std::string_view key, std::string_view json) {
    ((body_ += body_.empty() ? "" : ", ") += quoted(key)).append(": ").append(json);
    return *this;
  }
  std::string str() const { return "{" + body_ + "}"; }

  static std::string quoted(std::string_view value) {
    std::string out = "\"";
    for (const char c : value) {
      if (c == '"' || c == '\\') {
        (out += '\\') += c;
      } else if (static_cast<unsigned char>(c) < 0x20) {
        char code[8];
        std::snprintf(code, sizeof code, "\\u%04x", c);
        out += code;
      } else {
        out += c;
      }
    }
    return out + '"';
  }

 private:
  std::string body_;
};

}  // namespace hakmem::bench
