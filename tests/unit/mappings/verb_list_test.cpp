#include "mappings/verb_list.hpp"

#include <doctest/doctest.h>

using weft::mappings::VerbList;
using Names = std::vector<std::string>;

TEST_CASE("VerbList: a list matches its members alone") {
  const VerbList verbs("GET,HEAD");
  CHECK(verbs.Matches("GET"));
  CHECK(verbs.Matches("HEAD"));
  CHECK_FALSE(verbs.Matches("POST"));
  CHECK_FALSE(verbs.Matches("GET,HEAD"));
  CHECK_FALSE(verbs.Matches(""));
}

TEST_CASE("VerbList: letter case counts") {
  CHECK_FALSE(VerbList("GET").Matches("get"));
  CHECK(VerbList("get").Matches("get"));
}

TEST_CASE("VerbList: blanks are ignored wherever they stand") {
  const VerbList verbs(" GE T ,\tHEAD ");
  CHECK(verbs.Matches("GET"));
  CHECK(verbs.Matches("HEAD"));
  CHECK(verbs.Names() == Names{"GET", "HEAD"});
}

TEST_CASE("VerbList: wildcards") {
  CHECK(VerbList("*").Matches("ANYTHING"));
  CHECK(VerbList("P*").Matches("PUT"));
  CHECK_FALSE(VerbList("P*").Matches("GET"));
  CHECK(VerbList("?ET").Matches("GET"));
  CHECK_FALSE(VerbList("?ET").Matches("ET"));
  CHECK(VerbList("GET,PROP*").Matches("PROPFIND"));
}

TEST_CASE("VerbList: no verb implies another") {
  CHECK_FALSE(VerbList("GET").Matches("HEAD"));
  CHECK_FALSE(VerbList("GET").Matches("OPTIONS"));
}

TEST_CASE("VerbList: only a bare star matches everything") {
  CHECK(VerbList("*").MatchesEverything());
  CHECK(VerbList("GET,**").MatchesEverything());
  CHECK_FALSE(VerbList("G*").MatchesEverything());
}

TEST_CASE("VerbList: names are in order, once, with wildcards spelt out") {
  CHECK(VerbList("PUT,GET,PUT").Names() == Names{"PUT", "GET"});
  CHECK(VerbList("GET,P*").Names() == Names{"GET", "POST", "PUT", "PATCH"});
  CHECK(VerbList("PROPFIND,?ET").Names() == Names{"PROPFIND", "GET"});
  CHECK(VerbList("*").Names() ==
        Names{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"});
}
