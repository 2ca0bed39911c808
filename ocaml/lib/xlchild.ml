(* xlchild.ml - the library, a module a topic, in the order of xlchild.mli *)

include Types
module Pid = Pid
include Errors
include Context
module Fd_map = Fd_map
module Environment = Environment
module Family = Family
include Command
include Children
include Events
include Run
include Loop
module Status = Show.Status
module Error = Show.Error
module Ended = Show.Ended
module Outcome = Show.Outcome
module Account = Account
module Rlimit = Limits
include Diagnosis
