(* limits.ml - resources by name, and this process's own limits

   Given to the host as it is; the records are Types.rlimit. *)

[@@@alert "-deprecated"] (* the records are made here *)

open Types

type resource =
  | Cpu
  | File_size
  | Data
  | Stack
  | Core
  | Resident
  | Processes
  | Open_files
  | Locked_memory
  | Address_space
  | File_locks
  | Pending_signals
  | Message_queues
  | Nice
  | Realtime_priority
  | Realtime_time
  | Number of int

(* The kernel's numbers on x86, Arm, RISC-V, PowerPC and s390. *)
let numbers =
  [
    (Cpu, 0); (File_size, 1); (Data, 2); (Stack, 3); (Core, 4); (Resident, 5);
    (Processes, 6); (Open_files, 7); (Locked_memory, 8); (Address_space, 9);
    (File_locks, 10); (Pending_signals, 11); (Message_queues, 12); (Nice, 13);
    (Realtime_priority, 14); (Realtime_time, 15);
  ] [@ocamlformat "disable"]

let number = function Number n -> n | resource -> List.assoc resource numbers
let unlimited = -1

let check what n =
  if n < unlimited then
    invalid_arg (Printf.sprintf "Xlchild.Rlimit.make: %s is negative" what)

let make ?hard resource soft =
  let hard = Option.value hard ~default:soft in
  check "soft" soft;
  check "hard" hard;
  { resource = number resource; soft; hard }

let current resource =
  let resource = number resource in
  match Raw.getrlimit resource with
  | -2, errno ->
      raise (Unix.Unix_error (Raw.error_of_errno errno, "getrlimit", ""))
  | soft, hard -> { resource; soft; hard }
