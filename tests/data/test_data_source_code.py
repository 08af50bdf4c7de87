"""Program code in a text: where, in which language, under which licence, whose; and what is no code."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leeward.data import source_code
from leeward.data.found import PASSAGE
from leeward.data.licences import header_of
from leeward.data.scanner import Scanner
from leeward.data.source_code import Code, CodeFinder, find_code

SNIPPETS = {
    "python": """
import os
from dataclasses import dataclass

@dataclass
class Order:
    total: int

    def tax(self, rate):
        if self.total is None:
            return 0
        return self.total * rate
""",
    "javascript": """
const express = require('express');
const app = express();

app.get('/users', async (req, res) => {
  const users = await db.query('SELECT 1');
  res.json(users);
});
""",
    "typescript": """
interface User {
  id: string;
  name: string;
}

export const load = async (id: string): Promise<User> => {
  const user: User = await fetchUser(id);
  return user;
};
""",
    "java": """
package com.example.orders;

import java.util.List;

public class OrderService {
    private final List<Order> orders;

    public int total() {
        return orders.stream().mapToInt(Order::getTotal).sum();
    }
}
""",
    "csharp": """
using System;
namespace Shop.Orders
{
    public class Service
    {
        public async Task<int> TotalAsync()
        {
            var items = await _repo.AllAsync();
            return items.Count;
        }
    }
}
""",
    "c": """
#include <stdio.h>

static int count(const char *s)
{
    int n = 0;
    while (*s++)
        n++;
    return n;
}
""",
    "c++": """
#include <vector>
#include <string>

namespace shop {
class Cart {
public:
    void add(const std::string& name) { items.push_back(name); }
private:
    std::vector<std::string> items;
};
}
""",
    "go": """
package main

import (
\t"fmt"
)

func total(items []Item) (int, error) {
\tif err := check(items); err != nil {
\t\treturn 0, err
\t}
\tfmt.Println(len(items))
\treturn len(items), nil
}
""",
    "rust": """
use std::collections::HashMap;

pub fn total(items: &[Item]) -> u64 {
    let mut sum = 0;
    for item in items {
        sum += item.price;
    }
    sum
}
""",
    "ruby": """
require 'json'

class Order < ApplicationRecord
  belongs_to :customer

  def total
    items.map(&:price).sum
  end
end
""",
    "php": """
<?php
namespace App\\Orders;

class Order {
    public function total() {
        $sum = 0;
        foreach ($this->items as $item) {
            $sum += $item->price;
        }
        return $sum;
    }
}
""",
    "shell": """
#!/bin/bash
set -euo pipefail

for file in "$@"; do
  if [ -f "$file" ]; then
    echo "$file"
  fi
done
""",
    "sql": """
SELECT c.name, SUM(o.total) AS total
FROM customers c
LEFT JOIN orders o ON o.customer_id = c.id
WHERE o.created > '2024-01-01'
GROUP BY c.name
ORDER BY total DESC;
""",
    "kotlin": """
data class Order(val id: String, val total: Int)

fun total(orders: List<Order>): Int {
    val sum = orders.sumOf { it.total }
    return sum
}
""",
    "dockerfile": """
FROM python:3.11-slim
WORKDIR /app
COPY requirements.txt .
RUN pip install -r requirements.txt
COPY . .
CMD ["python", "main.py"]
""",
    "terraform": """
resource "aws_s3_bucket" "logs" {
  bucket = "logs"
}

variable "region" {
  default = "eu-west-1"
}
""",
    "html": """
<!DOCTYPE html>
<html>
<head><title>Shop</title></head>
<body>
<div class="cart">
</div>
</body>
</html>
""",
    "perl": """
use strict;
use warnings;

sub total {
    my ($items) = @_;
    my $sum = 0;
    foreach my $item (@$items) { $sum += $item->{price}; }
    return $sum;
}
""",
}
NO_CODE = {
    "prose": "We met on Monday.\nIf you agree, import the list from the old system.\nFor each one, return the form.\nThanks!\n"
    * 4,
    "letter": "Dear Ms Lee,\n\nwith reference to your letter (of 3 May), we confirm:\n- the price;\n- the date;\n\nYours\n",
    "json": '{\n  "id": 1,\n  "items": [\n    {"name": "a", "price": 2},\n    {"name": "b"}\n  ],\n  "ok": true\n}\n',
    "yaml": "version: 2\nservices:\n  web:\n    image: nginx\n    ports:\n      - 80:80\n",
    "log": "2024-05-01 12:00:01 INFO started pid=12\n2024-05-01 12:00:02 ERROR failed (code=3)\n" * 5,
    "csv": "id,name,total\n1,Ann,3.50\n2,Bob,4.00\n3,Eve,1.25\n",
    "table": "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n",
    "questions": "How do I sort a list in Python?\nWhat does `return` do?\nIs `for (;;)` a loop?\nCan I use await here?\n",
    "shell session": "$ ls -la\ntotal 3\ndrwxr-xr-x 2 a a 4096 May 1 12:00 .\n$ pwd\n/home/a\n",
    "headings": "Setext\n~~~~~~\n\nText of the first part.\n\nMore\n~~~~\n\nText of the second part.\n",
    "empty": "",
}


@pytest.mark.parametrize("language", SNIPPETS)
def test_languages(language: str) -> None:
    (code,) = find_code(SNIPPETS[language])
    assert code.language == language
    assert code.confidence >= 0.5
    assert code.lines == sum(bool(line.strip()) for line in SNIPPETS[language].splitlines())


@pytest.mark.parametrize("language", SNIPPETS)
@pytest.mark.parametrize("fence", ["```", "``` ", "````"])
def test_fences_say_where(language: str, fence: str) -> None:
    body = SNIPPETS[language].strip("\n")
    text = f"Please look at this:\n\n{fence}\n{body}\n{fence.strip()}\n\nIt fails when I call it twice. Why?\n"
    (code,) = find_code(text)
    assert text[code.start : code.end] == body


@pytest.mark.parametrize("language", SNIPPETS)
def test_prose_around_is_not_code(language: str) -> None:
    body = SNIPPETS[language].strip("\n")
    before = "Hello, can you tell me what is wrong here? It worked until yesterday.\n\n"
    text = f"{before}{body}\n\nI have tried to change the first line, but that did not help at all.\n"
    (code,) = find_code(text)
    assert text[code.start : code.end] == body


@pytest.mark.parametrize("name", NO_CODE)
def test_no_code(name: str) -> None:
    assert find_code(NO_CODE[name]) == []


@pytest.mark.parametrize("tag", ["json", "yaml", "text", "log"])
def test_fenced_data_is_no_code(tag: str) -> None:
    assert find_code(f"See:\n```{tag}\n{NO_CODE['json']}```\n") == []


@pytest.mark.parametrize("before", ["{n:6}\t{line}", "{n} | {line}", "{n}: {line}", "+{line}", "{n:5}→{line}"])
def test_what_tools_put_before_lines(before: str) -> None:
    lines = SNIPPETS["python"].strip("\n").split("\n")
    text = "\n".join(before.format(n=n, line=line) for n, line in enumerate(lines, 1))
    (code,) = find_code(text)
    assert code.language == "python"


def test_two_passages() -> None:
    middle = "\n".join(f"That was part {n}, and now comes the explanation of it in words." for n in range(5))
    text = f"{SNIPPETS['python']}\n{middle}\n{SNIPPETS['go']}"
    assert [code.language for code in find_code(text)] == ["python", "go"]


PROSE = "\n".join(f"This is sentence {n}, and there is (nothing more) to say about it." for n in range(200))


@pytest.mark.parametrize("language", SNIPPETS)
def test_code_in_a_long_text_is_found_where_it_is(language: str) -> None:
    body = SNIPPETS[language].strip("\n")
    text = f"{PROSE}\n{body}\n{PROSE}"
    (code,) = find_code(text)
    assert text[code.start : code.end] == body


def test_a_few_lines_are_less_sure_than_many() -> None:
    few, many = (find_code("import os\n" + "def f(x):\n    return os.stat(x)\n" * n)[0] for n in (2, 20))
    assert few.confidence < many.confidence


def test_minified_code() -> None:
    text = "!function(e,t){var n=e.x;for(var i=0;i<t.length;i++){n[t[i]]=function(){return i}}}(window,[1,2]);" * 8
    assert [code.language for code in find_code(text)] == ["javascript"]


@pytest.mark.parametrize(
    ("header", "licence", "owner"),
    [
        ("# Copyright (c) 2024 ACME Corp. All rights reserved.\n# Confidential", "proprietary", "ACME Corp"),
        (
            "/* Copyright 2019-2023 The Go Authors. Use is governed by a BSD-style license */",
            "BSD-3-Clause",
            "The Go Authors",
        ),
        ("// SPDX-License-Identifier: Apache-2.0\n// Copyright Foo GmbH", "Apache-2.0", "Foo GmbH"),
        ("// SPDX-License-Identifier: LicenseRef-Foo", "proprietary", ""),
        ("# (C) Copyright 2001, 2002 by John Doe <x@y.z>", "", "John Doe"),
        ("# This file is proprietary.", "proprietary", ""),
        ("# © 2020 Müller AG, alle Rechte vorbehalten", "proprietary", "Müller AG"),
        ("/* Permission is hereby granted, free of charge, to any person */", "MIT", ""),
        ("// Unauthorized copying of this file is forbidden. Licensed under the Apache License", "Apache-2.0", ""),
        ("def copy(c): pass", "", ""),
        ("İ Copyright 2020 Foo Inc", "", "Foo Inc"),
    ],
)
def test_licence_and_owner(header: str, licence: str, owner: str) -> None:
    assert header_of(header) == (licence, owner)


@pytest.mark.parametrize(
    ("names", "header", "detector"),
    [
        ((), "", "code:python"),
        ((), "# Copyright 2024 ACME. Confidential.\n", "code:python+proprietary"),
        ((), "# Licensed under the Apache License, Version 2.0\n", "code:python+open"),
        (("ACME Corp",), "# Copyright 2024 Acme Corp. Confidential.\n", "code:python+own"),
        (("acme",), "from acme.billing import invoices\n", "code:python+own"),
        (("acme",), "import acmeish\n", "code:python"),
    ],
)
def test_whose(names: tuple[str, ...], header: str, detector: str) -> None:
    text = header + SNIPPETS["python"]
    assert [found[4] for found in CodeFinder(names).find(text)] == [detector]


def test_values_in_code_are_told_beside_it(tmp_path: Path) -> None:
    (found,) = [f for f in Scanner([], [CodeFinder()]).scan_text(SNIPPETS["python"]) if f.kind == "code.source"]
    assert found.layer == PASSAGE


@given(
    st.lists(
        st.one_of(
            st.sampled_from([line for text in SNIPPETS.values() for line in text.split("\n")]), st.text(max_size=30)
        ),
        max_size=30,
    ).map("\n".join)
)
@settings(deadline=None)
def test_any_text(text: str) -> None:
    at = 0
    for code in find_code(text):
        assert isinstance(code, Code)
        assert at <= code.start < code.end <= len(text)
        assert 0.5 <= code.confidence < 1
        at = code.end


LINES = [
    *(line for text in SNIPPETS.values() for line in text.split("\n")),
    *PROSE.split("\n")[:5], "# Title", "* item", "// note", "```", "```python", "  ```js", "12\tx = 1", "+ def f(x):", "", "a",
]  # fmt: skip


@given(st.lists(st.sampled_from(LINES), max_size=60).map("\n".join))
@settings(deadline=None)
def test_skipping_prose_loses_nothing(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_code, "_LONG_TEXT", -1)
        skipped = find_code(text)
    assert skipped == find_code(text)
