(* xlchild.ml - the library, a module a topic, in the order of xlchild.mli *)

include Types
module Pid = Pid
include Errors
include Context
module Environment = Environment
include Command
include Children
include Events
include Run
include Loop
include Diagnosis
