(* processes.ml - processes as /proc shows them

   Called by loop.ml where the state file does not tell what lives: it is
   damaged, or the daemon was killed between a start and its record. *)

let first_line path =
  match open_in path with
  | exception Sys_error _ -> ""
  | file ->
      Fun.protect
        ~finally:(fun () -> close_in_noerr file)
        (fun () -> try input_line file with End_of_file | Sys_error _ -> "")

let boot () =
  let namespace =
    try Unix.readlink "/proc/self/ns/pid" with Unix.Unix_error _ -> "pid"
  in
  first_line "/proc/sys/kernel/random/boot_id" ^ "," ^ namespace

let variable = "XLCHILD_SERVICE"
let mark ~folder ~name ~run = String.concat "/" [ folder; name; run ]

let identity_of { Unix.st_dev; st_ino; _ } =
  Printf.sprintf "%x.%x" st_dev st_ino

let identity path = identity_of (Unix.stat path)

type found = { name : string; run : string; pid : Xlchild.Pid.t; start_time : int }

(* A file of /proc has no length that it tells beforehand. *)
let read_all path =
  match open_in_bin path with
  | exception Sys_error _ -> ""
  | file ->
      let text = Buffer.create 4096 in
      let rec more () =
        match Buffer.add_channel text file 4096 with
        | () -> more ()
        | exception (End_of_file | Sys_error _) -> Buffer.contents text
      in
      Fun.protect ~finally:(fun () -> close_in_noerr file) more

let mark_of pid =
  let given = variable ^ "=" in
  let n = String.length given in
  String.split_on_char '\000'
    (read_all (Printf.sprintf "/proc/%d/environ" pid))
  |> List.find_opt (fun text ->
         String.length text >= n && String.sub text 0 n = given)
  |> Option.map (fun text -> String.sub text n (String.length text - n))

let is_marked pid = mark_of pid <> None

(* What stat says after the name, which may hold blanks and parentheses. *)
let fields pid =
  let stat = first_line (Printf.sprintf "/proc/%d/stat" pid) in
  match String.rindex_opt stat ')' with
  | None -> []
  | Some i ->
      String.sub stat (i + 1) (String.length stat - i - 1)
      |> String.split_on_char ' '
      |> List.filter (( <> ) "")

(* The first, the third and the twentieth of them. *)
let state_group_and_start pid =
  let fields = fields pid in
  match (List.nth_opt fields 0, List.nth_opt fields 2, List.nth_opt fields 19) with
  | Some state, Some group, Some start ->
      Option.bind (int_of_string_opt group) (fun group ->
          Option.map
            (fun start -> (state, group, start))
            (int_of_string_opt start))
  | _ -> None

let group_and_start pid =
  Option.map
    (fun (_, group, start) -> (group, start))
    (state_group_and_start pid)

(* The pid may be another process's between two looks: the start time tells. *)
let found_at ~folder pid =
  let before = group_and_start pid in
  let mark = Option.map (String.split_on_char '/') (mark_of pid) in
  match (before, mark) with
  | Some (group, start_time), Some [ of_folder; name; run ]
    when group = pid && of_folder = folder && group_and_start pid = before ->
      Some { name; run; pid = Xlchild.Pid.of_int pid; start_time }
  | _ -> None

let all () =
  Array.to_list (Sys.readdir "/proc")
  |> List.filter_map int_of_string_opt
  |> List.filter (fun pid -> pid > 1 && pid <> Unix.getpid ())

type worker = { worker : Xlchild.Pid.t; since : int; marked : bool; leaving : bool }

(* A process that ends gives up its memory, environment and mark with it, before
   its files: it may hold a lock still. The seventh field has the kernel's
   PF_EXITING. *)
let is_exiting pid =
  match fields pid with
  | state :: _ as fields when state <> "Z" ->
      Option.bind (List.nth_opt fields 6) int_of_string_opt
      |> Option.fold ~none:false ~some:(fun flags -> flags land 4 <> 0)
  | _ -> false

(* Those in the group; without one, whoever has the mark. *)
let workers ?group ~mark () =
  let is_there its_group =
    match group with None -> true | Some group -> its_group = group
  in
  List.filter_map
    (fun pid ->
      match state_group_and_start pid with
      | Some (state, its_group, since)
        when is_there its_group && state <> "Z" && state <> "X" ->
          let marked = mark_of pid = Some mark in
          let leaving =
            group <> None && (not marked) && is_exiting pid
          in
          if marked || group <> None then
            Some { worker = Xlchild.Pid.of_int pid; since; marked; leaving }
          else None
      | _ -> None)
    (all ())

let find ~folder =
  all ()
  |> List.filter_map (found_at ~folder)
  |> List.sort (fun a b ->
         compare (a.name, a.run, a.start_time) (b.name, b.run, b.start_time))
  |> List.fold_left
       (fun kept (each : found) ->
         match kept with
         | last :: _ when (last.name, last.run) = (each.name, each.run) -> kept
         | _ -> each :: kept)
       []
