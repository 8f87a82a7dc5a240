<%@ WebHandler Class="samples::Clock, clock" %>
