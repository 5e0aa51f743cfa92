"""The places of parse trees."""

from lark import Meta as Meta
