// Something for a compiler to chew on: templates, and little else.
#include <algorithm>
#include <iostream>
#include <iterator>
#include <map>
#include <regex>
#include <string>
#include <vector>

int main() {
    const std::string text((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
    const std::regex word("[A-Za-z]+");
    std::map<std::string, std::size_t> counts;
    for (std::sregex_iterator at(text.begin(), text.end(), word), end; at != end; ++at) ++counts[at->str()];
    std::vector<std::pair<std::string, std::size_t>> ranked(counts.begin(), counts.end());
    std::stable_sort(ranked.begin(), ranked.end(), [](const auto &a, const auto &b) { return a.second > b.second; });
    for (const auto &[found, count] : ranked) std::cout << count << ' ' << found << '\n';
}
